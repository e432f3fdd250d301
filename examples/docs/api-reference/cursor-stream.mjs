import EventSource from 'eventsource';

const apiKey = process.env.KNIFY_API_KEY;

const eventSource = new EventSource(
  `${process.env.KNIFY_URL}/jobs/${process.env.JOB_ID}/cursor/stream`,
  {
    headers: {
      'Authorization': 'Bearer ' + apiKey
    }
  }
);

eventSource.onmessage = (event) => {
  const data = JSON.parse(event.data);
  console.log('Cursor event:', data);
};

eventSource.onerror = (error) => {
  console.error('Stream error:', error);
  eventSource.close();
};
