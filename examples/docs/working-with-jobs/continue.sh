curl -X POST $KNIFY_URL/jobs/$JOB_ID/continue \
-H "Content-Type: application/json" \
-H "Authorization: Bearer $KNIFY_API_KEY" \
-d '{
"spec": {
"job_type": "cursor_task",
"prompt": "Now add tests for the code you just wrote"
}
}'
