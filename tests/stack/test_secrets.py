"""A canary among the secrets of real jobs: given to them, and found nowhere else afterwards."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from knify.client import Client
from knify.host import images
from tests.gateway import gitserver, web
from tests.parts import model_server
from tests.parts import stack as stack_part
from tests.parts.model_server import Models
from tests.parts.stack import Stack, eventually
from tests.stack import canary
from tests.stack.parts import lines, ran, stages, submit

pytestmark = [pytest.mark.podman, pytest.mark.stack, pytest.mark.slow]

VALUE = 'c4nary/of+the "team" \'s'
KEY = "-----BEGIN KEY-----\n{}\nc4naryb64/second+line=\n-----END KEY-----\n".format("Kc4nary" * 9)
SECRETS = [
    {"name": "TOKEN", "source": "env", "key": "TEAM_TOKEN"},
    {"name": "KEY", "source": "vault", "key": "deploy.key"},
]
#: Prints both in every form, in pieces and wrapped, and leaves them in files.
SPILL = r"""
import base64, json, os, shlex, sys, time, urllib.parse
def forms(value):
    raw = value.encode()
    yield from (value, repr(value), shlex.quote(value))
    yield from (json.dumps(value), json.dumps(json.dumps(value)))
    yield from (base64.b64encode(b"x" * n + raw).decode() for n in range(3))
    yield from (base64.encodebytes(b"y" * n + raw).decode() for n in range(3))
    yield base64.urlsafe_b64encode(raw).decode()
    yield from (raw.hex(), raw.hex().upper())
    yield "\n".join(raw.hex()[n:n + 20] for n in range(0, 2 * len(raw), 20))
    yield from (urllib.parse.quote(value), urllib.parse.quote(value, safe=""))
    yield urllib.parse.quote_plus(value)
for name in ("TOKEN", "KEY"):
    value = os.environ[name]
    for n, form in enumerate(forms(value)):
        print("form", n, form)
        print("error", n, form, file=sys.stderr)
        open(f"{name}-{n}.txt", "w").write(f"before {form} behind")
    sys.stdout.flush()
    for piece in (value[:5], value[5:9], value[9:], "\n"):
        os.write(1, piece.encode())
        time.sleep(0.05)
open("fine.txt", "w").write("nothing in it")
open("kept", "w").write(os.environ["TOKEN"])
"""


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with model_server.running(keys={"key-of-anthropic"}) as running:
        yield running


@pytest.fixture(scope="module")
def own_stack(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """With a model, and a git server whose host is github.test."""
    folder = tmp_path_factory.mktemp("outside")
    secret, certificate = web.certified(folder, "github.test")
    gitserver.repository(folder / "git", "public/app.git", {"hello.txt": "hello\n"})
    settings = {"KNIFY_SECRET_ENV": "TEAM_TOKEN", "TEAM_TOKEN": VALUE, "KNIFY_LEASE_SECONDS": "3"}
    settings |= {"KNIFY_ANTHROPIC_BASE_URL": models.url, "ANTHROPIC_API_KEY": "key-of-anthropic"}
    settings |= {"KNIFY_EGRESS_CA": str(certificate)}
    with gitserver.running(folder / "git", secret) as port:
        settings["KNIFY_EGRESS_HOSTS"] = f"github.test=127.0.0.1:{port}"
        with stack_part.running(**settings) as running:
            yield running


def answers(stack: Stack, job: str) -> list[str]:
    """All that the API says of a job."""
    key = (stack.home / "admin.key").read_text().strip()
    paths = [
        *("", "/events", "/events/stream", "/cursor", "/cursor/stream", "/output?raw=1"),
        *("/output/stream?raw=1", "/artifacts", "/artifacts?content=0"),
    ]
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=20) as http:
        texts = [http.get(f"/jobs/{job}{path}").text for path in paths]
        packed = http.get(f"/jobs/{job}/artifacts.tar.gz").content
        others = ("/jobs", "/secrets", "/secrets/deploy.key", f"/api/v1/tasks/{job}/logs")
        texts += [http.get(path).text for path in others]
    return [*texts, gzip.decompress(packed).decode("latin-1")]


def look(stack: Stack, client: Client, job: str) -> list[str]:
    """Wherever a value of the two is, with what is around it."""
    sandbox = client.job(job).sandbox_id
    texts = [canary.asked(stack, "inspect", f"knify-{sandbox}"), canary.dumped(stack, job)]
    texts += [*answers(stack, job), *canary.files(stack).values(), stack.said().decode()]
    texts += canary.environments(stack, "api", "gateway", "beat", "redis", "podman")
    return canary.found(texts, VALUE) + canary.found(texts, KEY.splitlines()[1])


def test_a_secret_that_a_job_spills_is_in_no_answer_record_file_or_log(
    own_stack: Stack, client: Client
) -> None:
    client.set_secret("deploy.key", KEY)

    job = ran(client, ["python3", "-c", SPILL], secrets=SECRETS)

    assert (job.status, job.error) == ("completed", None)
    shown = lines(client, job.id)
    assert len(shown) > 40
    assert sum("***" in line for line in shown) > 30
    assert [a.path for a in client.artifacts(job.id) if not a.withheld] == ["fine.txt"]
    assert len([a for a in client.artifacts(job.id) if a.withheld]) == 2 * 18 + 1
    assert "artifact_withheld" in stages(client, job.id)
    assert look(own_stack, client, job.id) == []

    # A later job is given nothing, and finds a file.
    later = client.continue_job(job.id, {"job_type": "command_task", "command": "cat kept; env"})
    assert client.wait(later.job_id, timeout=60).status == "completed"
    assert lines(client, later.job_id)[0].startswith("***")
    assert not [line for line in lines(client, later.job_id) if line.startswith("TOKEN=")]
    assert look(own_stack, client, later.job_id) == []


def test_a_killed_worker_costs_no_line_and_uncovers_none(own_stack: Stack, client: Client) -> None:
    """Lines that end within a secret, while workers die."""
    client.set_secret("deploy.key", KEY)
    spill = (
        'i=0; while [ $i -lt 60 ]; do i=$((i+1)); printf "%s" "$TOKEN" | base64 | fold -w 7; '
        'printf "%.9s" "$TOKEN"; sleep 0.05; printf "%s\\n" "${TOKEN#?????????}"; done'
    )
    job = submit(client, spill, secrets=SECRETS)
    for n in (20, 120, 240):
        eventually(lambda n=n: len(client.output(job, raw=True)) > n)  # type: ignore[misc]
        with contextlib.suppress(ProcessLookupError):  # that of the kill before
            own_stack.kill("worker")

    assert client.wait(job, timeout=90).status == "completed"

    found = lines(client, job)
    assert found == found[:6] * 60
    assert found[5] == "***"
    assert {e["n"] for e in client.output(job, raw=True)} == set(range(1, 361))
    assert stages(client, job).count("agent_started") == 1
    assert look(own_stack, client, job) == []


def test_a_runbook_is_given_them_and_its_events_are_covered(
    client: Client, own_stack: Stack
) -> None:
    runbook = 'Say it.\n\n```sh\necho "it is $TOKEN"\necho "$TOKEN" >&2\nfalse\n```\n'
    spec: dict[str, Any] = {"job_type": "runbook_task", "prompt": runbook, "secrets": SECRETS[:1]}

    job = client.wait(client.create_job(spec).job_id, timeout=60)

    assert job.status == "failed"
    events = client.output(job.id)
    assert [e["message"] for e in events if e["type"] == "progress"] == ["it is ***", "***"]
    assert VALUE not in json.dumps(events)


#: The quick reference's example, with our stand-ins for GitHub, npx and the model.
BUG_FIX = """\
version: "1"
kind: Task
metadata:
  name: "Fix bug #42"
repository:
  url: "https://github.test/public/app.git"
  branch: "main"
claude:
  prompt: |
    Fix the bug in GitHub issue #42
    RUN printf '%s' "$GITHUB_TOKEN" > token.txt; echo "with $GITHUB_TOKEN"; echo fixed > hello.txt
    SAY It is fixed
  mcp_config:
    mcpServers:
      github:
        command: "python3"
        args: ["-c", SERVER]
        env:
          STUB_TOKEN: "${GITHUB_TOKEN}"
vm:
  network_mode: "outbound"
  allowed_hosts: ["api.github.test"]
secrets:
  - name: "GITHUB_TOKEN"
    source: "env"
    key: "TEAM_TOKEN"
lifecycle:
  artifact_patterns: ["*.txt"]
"""


def test_the_documented_bug_fix_gives_its_token_to_agent_and_tools_and_shows_it_to_nobody(
    client: Client, own_stack: Stack, models: Models
) -> None:
    if not images.exists("localhost/knify/agents:latest"):
        pytest.skip("the agents' image is not here: knify images build agents")
    server = (Path(__file__).parents[1] / "agents" / "mcp_server.py").read_text()
    begun = len(models.requests)

    task = client.submit_task(BUG_FIX.replace("SERVER", json.dumps(server)))
    done = client.wait_task(task.task_id, timeout=120)

    assert (done.state, done.error) == ("completed", None)
    asked = json.dumps([one.body for one in models.requests[begun:]])
    assert f"answer_{hashlib.sha256(VALUE.encode()).hexdigest()[:12]}" in asked
    files = {a.path: a for a in client.task_artifacts(task.task_id)}
    assert files["token.txt"].withheld
    assert files[f"{task.task_id}.patch"].withheld
    assert not files["hello.txt"].withheld
    execution = done.execution_id or ""
    printed = [e["output"] for e in client.output(execution) if e["type"] == "tool_result"]
    assert printed[0].strip() == "with ***"
    assert look(own_stack, client, execution) == []
