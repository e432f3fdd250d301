# Generate batch processing prompt
cat > batch_items.json <<'EOF'
[
  {"id": "item_1", "data": "..."},
  {"id": "item_2", "data": "..."},
  {"id": "item_3", "data": "..."}
]
EOF

# Create job with batch data
curl -X POST $KNIFY_URL/jobs \
  -H "Authorization: Bearer $KNIFY_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "spec": {
      "job_type": "cursor_task",
      "prompt": "Process each item in batch_items.json: 1) Validate data, 2) Transform, 3) Save results to output/{id}.json",
      "workspace_path": "/workspaces/batch-processor"
    }
  }'
