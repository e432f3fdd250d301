import os

import requests
from flask import Flask, request, jsonify
import hmac
import hashlib

app = Flask(__name__)
WEBHOOK_SECRET = "your_webhook_secret"

@app.route('/webhooks/knify', methods=['POST'])
def handle_knify_webhook():
    # Verify signature
    signature = request.headers.get('X-Knify-Signature')
    if not verify_signature(request.data, signature):
        return jsonify({"error": "Invalid signature"}), 401
    
    event = request.json
    
    if event['type'] == 'job.completed':
        job_id = event['job_id']
        status = event['status']
        
        print(f"Job {job_id} completed with status: {status}")
        
        # Fetch artifacts
        artifacts = fetch_artifacts(job_id)
        
        # Process results
        process_job_results(job_id, artifacts)
        
    return jsonify({"status": "ok"})

def verify_signature(payload, signature):
    computed = hmac.new(
        WEBHOOK_SECRET.encode(),
        payload,
        hashlib.sha256
    ).hexdigest()
    return hmac.compare_digest(f"sha256={computed}", signature)

# The text leaves these two to its reader.
def fetch_artifacts(job_id):
    headers = {"Authorization": f"Bearer {os.environ['KNIFY_API_KEY']}"}
    return requests.get(f"{os.environ['KNIFY_URL']}/jobs/{job_id}/artifacts", headers=headers).json()

def process_job_results(job_id, artifacts):
    print(f"Job {job_id} left {', '.join(sorted(artifacts))}", flush=True)

if __name__ == '__main__':
    app.run(port=int(os.environ.get('PORT', 5000)))
