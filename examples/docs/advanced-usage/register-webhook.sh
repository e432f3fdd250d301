curl -X POST $KNIFY_URL/webhooks \
  -H "Authorization: Bearer $KNIFY_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "url": "'$WEBHOOK_URL'",
    "events": ["job.completed", "job.failed"],
    "secret": "your_webhook_secret"
  }'
