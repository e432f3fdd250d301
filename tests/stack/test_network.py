"""What a job reaches of the world: hosts that its spec names and nothing else."""

from __future__ import annotations

from knify.client import Client
from tests.gateway import gitserver, web
from tests.parts import stack as stack_part
from tests.parts.stack import eventually
from tests.stack.parts import lines, ran, stages, submit

#: Prints what each URL answers, one a line: its text, or the status of a refusal.
FETCH = """
import sys, urllib.error, urllib.request
for url in sys.argv[1:]:
    try:
        print(url, urllib.request.urlopen(url, timeout=20).read().decode(), flush=True)
    except urllib.error.HTTPError as refused:
        print(url, refused.code, flush=True)
    except OSError as failed:
        print(url, failed, flush=True)
"""
#: Asks for ever, and numbers the answers.
FOREVER = """
import sys, time, urllib.request
n = 0
while True:
    try:
        text = urllib.request.urlopen(sys.argv[1], timeout=20).read().decode()
        n += 1
        print(n, text, flush=True)
    except OSError:
        pass
    time.sleep(0.1)
"""


def fetch(*urls: str) -> list[str]:
    return ["python3", "-c", FETCH, *urls]


def refusals(client: Client, job_id: str) -> list[str]:
    return [e["detail"] for e in client.events(job_id) if e["stage"] == "egress_refused"]


def test_a_job_reaches_the_hosts_that_it_names_and_nothing_else(
    client: Client, stack: stack_part.Stack, outside: web.Web
) -> None:
    forbidden = [
        "http://other.test/",
        f"http://127.0.0.1:{outside.port}/",
        f"http://127.0.0.1:{stack.port}/jobs",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://localhost:6379/",
        "https://other.test/",
        "https://127.0.0.1/",
        "http://127.0.0.1:8119/",  # here; a neighbour has no other address either
    ]
    spec = {"network_mode": "outbound", "allowed_hosts": ["web.test"]}
    neighbour = submit(client, ["python3", "-m", "http.server", "8119"])
    # 127.0.0.1 and localhost are not asked for by way of a proxy unless it is told to.
    direct = {"env": {"NO_PROXY": "", "no_proxy": ""}}

    before = len(outside.seen)

    job = ran(client, fetch("http://web.test/a", *forbidden), **spec, **direct)

    said = lines(client, job.id)
    assert said[0] == "http://web.test/a hello from outside"
    assert len(said) == 1 + len(forbidden)
    assert all("403" in line for line in said[1:]), said
    assert "GET /a web.test" in outside.seen and len(outside.seen) == before + 1
    told = refusals(client, job.id)
    assert len(told) == len(forbidden)
    assert "CONNECT other.test:443 was refused: allowed_hosts does not name it" in told
    client.cancel(neighbour)


def test_a_host_with_the_operators_own_certificate_is_trusted(client: Client) -> None:
    spec = {"network_mode": "outbound", "allowed_hosts": ["secure.test"]}

    job = ran(client, fetch("https://secure.test/a"), **spec)

    assert lines(client, job.id) == ["https://secure.test/a hello in private"]


def test_a_private_repository_is_cloned_with_a_login_that_the_job_never_sees(
    client: Client,
) -> None:
    spec = {"network_mode": "outbound", "allowed_hosts": ["git.test"]}
    clone = (
        "git clone -q https://git.test/team/app.git app && cat app/hello.txt; env; cat app/.git/*"
    )

    job = ran(client, clone, **spec)

    said = "\n".join(lines(client, job.id))
    assert "hello from git" in said and gitserver.LOGIN.partition(":")[2] not in said


def test_full_reaches_no_private_host_and_none_of_the_operators_that_is_not_named(
    client: Client, stack: stack_part.Stack, outside: web.Web
) -> None:
    urls = [
        "http://other.test/x",
        "http://192.168.0.1/",
        "http://169.254.169.254/",
        "http://a.lan/",
    ]

    job = ran(client, fetch(*urls), network_mode="full")

    assert [line.split()[-1] for line in lines(client, job.id)] == ["403"] * len(urls)
    assert len(refusals(client, job.id)) == len(urls)
    assert not [seen for seen in outside.seen if "/x" in seen]


def test_an_isolated_job_has_no_interface_but_loopback_and_nothing_listens_there(
    client: Client,
) -> None:
    look = (
        "import os, socket; found = socket.socket().connect_ex(('127.0.0.1', 8119)); "
        "print(os.listdir('/sys/class/net'), found, 'HTTP_PROXY' in os.environ)"
    )

    job = ran(client, ["python3", "-c", look])

    assert lines(client, job.id) == ["['lo'] 111 False"]


def test_a_gateway_that_is_killed_comes_back_to_the_jobs_that_run(
    client: Client, stack: stack_part.Stack
) -> None:
    spec = {"network_mode": "outbound", "allowed_hosts": ["web.test"]}
    job_id = submit(client, ["python3", "-c", FOREVER, "http://web.test/k"], **spec)
    eventually(lambda: "1 hello from outside" in lines(client, job_id))
    before = stack.pid("gateway")

    stack.kill("gateway")

    eventually(lambda: stack.pid("gateway") != before)
    seen = len(lines(client, job_id))
    eventually(lambda: len(lines(client, job_id)) > seen + 3)
    client.cancel(job_id)
    assert client.wait(job_id, timeout=60).status == "cancelled"


def test_what_a_running_job_may_reach_can_be_changed(
    client: Client, stack: stack_part.Stack
) -> None:
    spec = {"network_mode": "outbound", "allowed_hosts": ["web.test"]}
    job_id = submit(client, ["python3", "-c", FOREVER, "http://other.test/k"], **spec)
    eventually(lambda: refusals(client, job_id))

    sandbox = client.job(job_id).sandbox_id
    changed = client.change_network(sandbox or "", "outbound", ["*.test"])

    assert (changed["job_id"], changed["allowed_hosts"]) == (job_id, ["*.test"])
    eventually(lambda: "1 hello from outside" in lines(client, job_id))
    assert "network_changed" in stages(client, job_id)
    client.cancel(job_id)
    client.wait(job_id, timeout=60)
