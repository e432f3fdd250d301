curl() { command curl -H "Authorization: Bearer $KNIFY_API_KEY" -H "Content-Type: application/json" "$@"; }

# Job 1
JOB_ID=$(curl -X POST $KNIFY_URL/jobs -d '{"spec": {"job_type": "cursor_task", "prompt": "One"}}' | jq -r '.job_id')

# Job 2 (reuses sandbox)
curl -X POST $KNIFY_URL/jobs/$JOB_ID/continue -d '{"spec": {"job_type": "cursor_task", "prompt": "Two"}}'

# Job 3 (reuses sandbox)
LAST=$(curl -X POST $KNIFY_URL/jobs/$JOB_ID/continue -d '{"spec": {"job_type": "cursor_task", "prompt": "Three"}}' | jq -r '.job_id')

# Only cleanup when truly done
until curl -s $KNIFY_URL/jobs/$LAST | jq -e '.completed_at' >/dev/null; do sleep 1; done
curl -X POST $KNIFY_URL/jobs/$JOB_ID/cleanup
