"""docker-compose.yml under podman-compose: an agent works in it, its model behind the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from knify.host import images as host_images
from knify.host import podman
from tests.deploy import composed as composed_module
from tests.deploy.composed import KEY, PODMAN_COMPOSE, PROJECT, Composed
from tests.parts import standin

pytestmark = [pytest.mark.podman, pytest.mark.slow, pytest.mark.timeout(1_800)]

AGENTS = "localhost/knify/agents:latest"
#: A stub of the models beside the others, on their network.
OVERRIDE = f"""
services:
  models:
    image: ${{KNIFY_SERVER_IMAGE}}
    init: true
    working_dir: /src
    command: ["python", "-m", "tests.parts.model_server", "8123"]
    volumes: ["{PROJECT}/tests:/src/tests:ro"]
    networks: [inside]
  gateway:
    environment:
      KNIFY_ANTHROPIC_BASE_URL: http://models:8123
      KNIFY_OPENAI_BASE_URL: http://models:8123/v1
"""


@pytest.fixture(scope="module")
def composed(images: tuple[str, str], conf: Path) -> Iterator[Composed]:
    with composed_module.running(PODMAN_COMPOSE, images, conf, OVERRIDE) as found:
        yield found


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with standin.image() as name:
        yield name


@pytest.mark.parametrize("kind", ["codex", "claude"])
def test_an_agent_works_in_it_and_its_next_job_goes_on(
    composed: Composed, image: str, kind: str
) -> None:
    if kind == "claude" and not host_images.exists(AGENTS):
        pytest.skip("the agents' image is not here: knify images build agents")
    agent = {"job_type": f"{kind}_task", "image": image if kind == "codex" else AGENTS}
    prompt = "SAY I begin\nWRITE src/a.txt: one\nRUN ls /sys/class/net; env\nSAY All done"

    with composed.client() as client:
        job = client.wait(client.create_job(agent | {"prompt": prompt}).job_id, timeout=120)
        again = {"job_type": agent["job_type"], "prompt": "RECALL"}
        more = client.wait(client.continue_job(job.id, again).job_id, timeout=120)
        told = [event for event in client.output(job.id) if event["type"] == "tool_result"]
        recalled = client.output(more.id)[-1]

    assert (job.status, job.error) == ("completed", None)
    assert told[-1]["output"].split()[0] == "lo"
    assert job.raw["usage"]["model_calls"] == 3
    assert (more.status, more.error) == ("completed", None)
    assert "SAY I begin" in recalled["result"]


def test_only_the_gateway_has_the_keys_of_models(composed: Composed) -> None:
    """Files that it alone sees; nobody's environment has them."""
    names = composed.containers()
    shown = {name: podman.call("inspect", name, conf=composed.conf).out for name in names}
    held = [name for name, text in shown.items() if "/openai_api_key" in text]

    assert len(names) == 8  # with two workers, and the stub
    assert not [name for name, text in shown.items() if KEY in text]
    assert held == composed.containers("gateway")


def test_an_isolated_job_and_one_that_may_go_out_run_in_it(composed: Composed) -> None:
    """The stub is a host of the operator's network, and no job reaches it by that."""
    ask = "curl -s -o /dev/null -w '%{http_code}' http://models:8123/; ls /sys/class/net"

    with composed.client() as client:
        spec = {"job_type": "command_task", "command": ask}
        shut = client.wait(client.create_job(spec).job_id, timeout=60)
        outbound = {"network_mode": "outbound", "allowed_hosts": ["models"]}
        out = client.wait(client.create_job(spec | outbound).job_id, timeout=60)
        said = [[e["line"] for e in client.output(x.id, raw=True)] for x in (shut, out)]
        told = [e["detail"] for e in client.events(out.id) if e["stage"] == "egress_refused"]

    assert said == [["000lo"], ["403lo"]]
    assert len(told) == 1


@pytest.mark.parametrize("service", ["worker", "api"])
def test_doctor_finds_nothing_wrong_in_its_containers(composed: Composed, service: str) -> None:
    with composed.client():
        said = podman.call("exec", composed.containers(service)[0], "knify", "doctor", timeout=60)

    assert said.ok, said.out
