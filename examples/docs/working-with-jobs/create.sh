curl -X POST $KNIFY_URL/jobs \
-H "Content-Type: application/json" \
-H "Authorization: Bearer $KNIFY_API_KEY" \
-d '{
"spec": {
"job_type": "cursor_task",
"prompt": "Analyze this codebase and suggest optimizations",
"model": "sonnet-4.5",
"workspace_path": "/workspaces/my-project"
}
}'
