import asyncio
import os

import aiohttp

API_KEY = os.environ['KNIFY_API_KEY']
KNIFY_URL = os.environ['KNIFY_URL']

async def create_job(session, prompt):
    async with session.post(
        f'{KNIFY_URL}/jobs',
        headers={'Authorization': f'Bearer {API_KEY}'},
        json={'spec': {'job_type': 'cursor_task', 'prompt': prompt}}
    ) as resp:
        return await resp.json()

async def run_parallel_jobs():
    prompts = [
        "Analyze the frontend codebase",
        "Analyze the backend codebase",
        "Analyze the database schema",
        "Review CI/CD configuration"
    ]
    
    async with aiohttp.ClientSession() as session:
        tasks = [create_job(session, prompt) for prompt in prompts]
        results = await asyncio.gather(*tasks)
        return results

# Run all jobs in parallel
results = asyncio.run(run_parallel_jobs())
job_ids = [r['job_id'] for r in results]
