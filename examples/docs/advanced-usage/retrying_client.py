import os
import time
from typing import Optional

import requests

API_KEY = os.environ["KNIFY_API_KEY"]

class KnifyClient:
    def __init__(self, api_key: str, max_retries: int = 3):
        self.api_key = api_key
        self.base_url = os.environ["KNIFY_URL"]
        self.max_retries = max_retries
        
    def create_job_with_retry(self, job_spec: dict) -> Optional[dict]:
        for attempt in range(self.max_retries):
            try:
                response = requests.post(
                    f"{self.base_url}/jobs",
                    headers={
                        "Authorization": f"Bearer {self.api_key}",
                        "Content-Type": "application/json"
                    },
                    json=job_spec,
                    timeout=30
                )
                
                if response.status_code == 200:
                    return response.json()
                elif response.status_code == 429:
                    # Rate limited, wait and retry
                    retry_after = int(response.headers.get('Retry-After', 60))
                    print(f"Rate limited, waiting {retry_after}s...")
                    time.sleep(retry_after)
                elif response.status_code >= 500:
                    # Server error, retry with backoff
                    wait_time = 2 ** attempt
                    print(f"Server error, retrying in {wait_time}s...")
                    time.sleep(wait_time)
                else:
                    # Client error, don't retry
                    print(f"Error: {response.status_code} - {response.text}")
                    return None
                    
            except requests.exceptions.Timeout:
                print(f"Timeout on attempt {attempt + 1}")
                if attempt < self.max_retries - 1:
                    time.sleep(2 ** attempt)
            except requests.exceptions.RequestException as e:
                print(f"Request failed: {e}")
                return None
                
        print("Max retries exceeded")
        return None

# Usage
client = KnifyClient(API_KEY, max_retries=3)
result = client.create_job_with_retry({
    "spec": {
        "job_type": "cursor_task",
        "prompt": "Your task"
    }
})
