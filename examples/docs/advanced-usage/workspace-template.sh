# Directory structure for a testing workspace
mkdir -p knify-testing-workspace/{runbooks,scripts,config,tests}

# Add runbooks
cat > knify-testing-workspace/runbooks/setup.md <<'EOF'
# Test Setup Runbook

1. Install dependencies
2. Configure test database
3. Seed test data
4. Verify setup
EOF

# Add configuration
cat > knify-testing-workspace/config/test-config.json <<'EOF'
{
  "timeout": 300,
  "retries": 3,
  "parallel": true
}
EOF

# Add environment template
cat > knify-testing-workspace/.env.example <<'EOF'
DATABASE_URL=postgresql://localhost/test_db
API_KEY=your_api_key_here
EOF

# Upload to Knify
tar -czf testing-workspace.tar.gz knify-testing-workspace/
curl -X POST $KNIFY_URL/workspaces \
  -H "Authorization: Bearer $KNIFY_API_KEY" \
  -F "workspace=@testing-workspace.tar.gz" \
  -F "name=testing-template-v1"
