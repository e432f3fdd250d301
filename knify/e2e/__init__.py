"""The testing workspace `/workspaces/e2e-tests` as it is shipped."""
