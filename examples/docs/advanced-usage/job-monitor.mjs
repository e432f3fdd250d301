import EventSource from 'eventsource';

const API_KEY = process.env.KNIFY_API_KEY;

class KnifyJobMonitor {
  constructor(apiKey, jobId) {
    this.apiKey = apiKey;
    this.jobId = jobId;
    this.eventSource = null;
  }

  start() {
    this.eventSource = new EventSource(
      `${process.env.KNIFY_URL}/jobs/${this.jobId}/cursor/stream`,
      {
        headers: {
          'Authorization': `Bearer ${this.apiKey}`
        }
      }
    );

    this.eventSource.onmessage = (event) => {
      const data = JSON.parse(event.data);
      this.handleEvent(data);
    };

    this.eventSource.onerror = (error) => {
      console.error('Stream error:', error);
      this.eventSource.close();
    };
  }

  handleEvent(event) {
    switch (event.type) {
      case 'agent_message':
        console.log(`Agent: ${event.message}`);
        break;
      case 'tool_use':
        console.log(`Using tool: ${event.tool}`);
        break;
      case 'file_created':
        console.log(`Created file: ${event.path}`);
        break;
      case 'completed':
        console.log('Job completed!');
        this.eventSource.close();
        break;
    }
  }

  stop() {
    if (this.eventSource) {
      this.eventSource.close();
    }
  }
}

// Usage
const monitor = new KnifyJobMonitor(API_KEY, process.env.JOB_ID);
monitor.start();
