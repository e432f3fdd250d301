import os
from typing import Dict, Any, Optional

import requests

API_KEY = os.environ["KNIFY_API_KEY"]

class KnifyJobBuilder:
    def __init__(self, api_key: str):
        self.api_key = api_key
        self.base_url = os.environ["KNIFY_URL"]
        
    def build_code_review_job(
        self,
        repo_path: str,
        focus_areas: list[str],
        model: str = "sonnet-4.5"
    ) -> Dict[str, Any]:
        focus = ", ".join(focus_areas)
        prompt = f"""
        Review the codebase at {repo_path}.
        Focus on: {focus}
        
        Provide:
        1. Security vulnerabilities
        2. Performance issues
        3. Code quality concerns
        4. Best practice violations
        """
        
        return {
            "spec": {
                "job_type": "cursor_task",
                "prompt": prompt.strip(),
                "model": model,
                "workspace_path": repo_path,
                "metadata": {
                    "type": "code_review",
                    "focus_areas": focus_areas
                }
            }
        }
    
    def build_e2e_test_job(
        self,
        test_scenario: str,
        environment: str = "staging"
    ) -> Dict[str, Any]:
        return {
            "spec": {
                "job_type": "fh_e2e_tools",
                "prompt": f"Run E2E test: {test_scenario} in {environment}",
                "workspace_path": "/workspaces/e2e-tests",
                "metadata": {
                    "type": "e2e_test",
                    "scenario": test_scenario,
                    "environment": environment
                }
            }
        }

# Usage
builder = KnifyJobBuilder(API_KEY)

job_spec = builder.build_code_review_job(
    repo_path="/workspaces/my-app",
    focus_areas=["security", "performance", "maintainability"]
)

response = requests.post(
    f"{builder.base_url}/jobs",
    headers={"Authorization": f"Bearer {builder.api_key}"},
    json=job_spec
)
