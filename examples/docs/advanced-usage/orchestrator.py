import asyncio
import os

from knify.client import AsyncClient

API_KEY = os.environ["KNIFY_API_KEY"]

# The text does not show the KnifyClient that it uses here: this is one, on Knify's own client.
class KnifyClient:
    def __init__(self, api_key: str):
        self.client = AsyncClient(os.environ["KNIFY_URL"], api_key)
        self.newest = {}  # the orchestrator names the first job for all of its stages

    async def create_job(self, stage: dict) -> dict:
        job = await self.client.create_job(stage["spec"], stage["name"])
        return {"job_id": job.job_id, "status": job.status}

    async def continue_job(self, job_id: str, stage: dict) -> dict:
        job = await self.client.continue_job(job_id, stage["spec"], stage["name"])
        self.newest[job_id] = job.job_id
        return {"job_id": job.job_id, "status": job.status}

    async def wait_for_completion(self, job_id: str) -> str:
        return (await self.client.wait(self.newest.get(job_id, job_id))).status

    async def get_artifacts(self, job_id: str) -> list:
        return list((await self.client.job(self.newest.get(job_id, job_id))).files)

class JobOrchestrator:
    def __init__(self, api_key: str):
        self.client = KnifyClient(api_key)
        
    async def run_pipeline(self, stages: list[dict]) -> dict:
        """
        Run a pipeline of dependent job stages.
        Each stage runs after the previous completes.
        """
        results = []
        job_id = None
        
        for i, stage in enumerate(stages):
            print(f"Running stage {i+1}/{len(stages)}: {stage['name']}")
            
            if job_id:
                # Continue from previous job
                response = await self.client.continue_job(job_id, stage)
            else:
                # Create initial job
                response = await self.client.create_job(stage)
                job_id = response['job_id']
            
            # Wait for completion
            final_status = await self.client.wait_for_completion(job_id)
            results.append({
                "stage": stage['name'],
                "status": final_status,
                "artifacts": await self.client.get_artifacts(job_id)
            })
            
            if final_status != 'completed':
                print(f"Stage {stage['name']} failed, stopping pipeline")
                break
                
        return {
            "pipeline_status": "completed" if all(r['status'] == 'completed' for r in results) else "failed",
            "stages": results
        }

# Usage
async def main():
    orchestrator = JobOrchestrator(API_KEY)

    pipeline = [
        {
            "name": "Setup",
            "spec": {
                "job_type": "cursor_task",
                "prompt": "Set up the project environment"
            }
        },
        {
            "name": "Build",
            "spec": {
                "job_type": "cursor_task",
                "prompt": "Build the application"
            }
        },
        {
            "name": "Test",
            "spec": {
                "job_type": "cursor_task",
                "prompt": "Run all tests"
            }
        },
        {
            "name": "Deploy",
            "spec": {
                "job_type": "cursor_task",
                "prompt": "Deploy to staging"
            }
        }
    ]

    result = await orchestrator.run_pipeline(pipeline)
    print(result["pipeline_status"])
    return result

result = asyncio.run(main())
