curl() { command curl -H "Authorization: Bearer $KNIFY_API_KEY" "$@"; }

# Upload once
curl -X POST $KNIFY_URL/workspaces -F "workspace=@my-workspace.tar.gz"

# Use in many jobs
for i in {1..10}; do
  curl -X POST $KNIFY_URL/jobs -H "Content-Type: application/json" \
    -d '{"spec": {"workspace_path": "/workspaces/my-workspace", "job_type": "cursor_task", "prompt": "Look around"}}'
done
