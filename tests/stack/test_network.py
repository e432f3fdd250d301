"""What a job reaches of the world: hosts that its spec names and nothing else."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from knify.client import Client
from tests.gateway import gitserver, web
from tests.parts import stack as stack_part
from tests.parts.stack import eventually
from tests.stack.parts import lines, ran, stages, submit

#: For each URL a line: the URL, the status of its answer, that of the proxy's, and curl's own code.
CURL = """
for url in "$@"; do
    curl -s -m 20 -o answer -w '%{url} %{http_code} %{http_connect} %{exitcode}\\n' "$url"
done
true
"""
#: Serves on all that its sandbox has, prints who asks, and asks itself again and again.
NEIGHBOUR = """
import http.server, socket, threading, time, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked", self.path, self.client_address[0], flush=True)
        self.send_response(200)
        self.end_headers()

server = http.server.ThreadingHTTPServer(("0.0.0.0", 9100), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("name", socket.gethostname(), flush=True)
while True:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open("http://127.0.0.1:9100/me")
    time.sleep(0.2)
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


def curl(*urls: str) -> list[str]:
    return ["bash", "-c", CURL, "curl", *urls]


def curled(client: Client, *urls: str, **spec: Any) -> tuple[list[list[str]], list[str]]:
    """What curl said of each URL, asked by way of the proxy whatever it is; and the refusals."""
    # 127.0.0.1 and localhost are not asked for by way of a proxy unless it is told to.
    job = ran(client, curl(*urls), env={"NO_PROXY": "", "no_proxy": ""}, **spec)
    said = [line.split() for line in lines(client, job.id)]
    assert len(said) == len(urls), (job.error, said)
    return [words[-3:] for words in said], refusals(client, job.id)


def refusals(client: Client, job_id: str) -> list[str]:
    return [e["detail"] for e in client.events(job_id) if e["stage"] == "egress_refused"]


def test_a_job_reaches_the_hosts_that_it_names_and_nothing_else(
    client: Client, stack: stack_part.Stack, outside: web.Web
) -> None:
    own = socket.gethostbyname(socket.gethostname())  # of this machine, where it has one
    with socket.create_server(("127.0.0.1", 0)) as redis:
        port = redis.getsockname()[1]
        forbidden = {
            "http://other.test/": "other.test:80",
            "https://other.test/": "other.test:443",
            f"http://127.0.0.1:{outside.port}/": f"127.0.0.1:{outside.port}",
            f"http://127.0.0.1:{stack.port}/jobs": f"127.0.0.1:{stack.port}",
            f"https://127.0.0.1:{stack.port}/jobs": f"CONNECT 127.0.0.1:{stack.port}",
            f"http://localhost:{stack.port}/jobs": f"localhost:{stack.port}",
            f"http://{own}:{stack.port}/": f"{own}:{stack.port}",
            f"http://127.0.0.1:{port}/": f"127.0.0.1:{port}",
            f"http://[::ffff:127.0.0.1]:{port}/": f":{port}",
            f"https://[::1]:{port}/": f":{port}",
            "http://169.254.169.254/latest/meta-data": "169.254.169.254:80",
            "http://[fd00:ec2::254]/": "fd00:ec2::254",
            "http://metadata.google.internal/": "metadata.google.internal:80",
            "http://10.0.0.1/": "10.0.0.1:80",
            "http://192.0.2.1:8119/": "192.0.2.1:8119",
        }
        before = len(outside.seen)
        spec = {"network_mode": "outbound", "allowed_hosts": ["web.test"]}

        said, told = curled(client, "http://web.test/a", *forbidden, **spec)

        redis.setblocking(False)
        with pytest.raises(BlockingIOError):
            redis.accept()  # nobody came
    assert said[0] == ["200", "000", "0"]
    for url, answer in zip(forbidden, said[1:], strict=True):
        assert "403" in answer, url
    assert outside.seen[before:] == ["GET /a web.test"]
    assert len(told) <= len(forbidden)
    for url, place in forbidden.items():
        assert [detail for detail in told if place in detail], url
    assert "CONNECT other.test:443 was refused: allowed_hosts does not name it" in told


def test_a_job_that_may_go_anywhere_reaches_no_neighbour(client: Client) -> None:
    spec = {"network_mode": "full"}
    neighbour = submit(client, ["python3", "-c", NEIGHBOUR], **spec)
    eventually(lambda: "asked /me 127.0.0.1" in lines(client, neighbour))
    name = lines(client, neighbour)[0].split()[1]
    sandbox = client.job(neighbour).sandbox_id
    addresses = ["127.0.0.1", "0.0.0.0", "[::1]", "[::]", "10.88.0.2"]

    said, told = curled(client, *(f"http://{address}:9100/in" for address in addresses), **spec)
    names = [f"http://{host}:9100/in" for host in (name, f"knify-{sandbox}")]
    named, _ = curled(client, *names, network_mode="outbound", allowed_hosts=["web.test"])
    look = f"set -- http://127.0.0.1:9100/in\n{CURL}\ngrep -c @ /proc/net/unix"
    direct = ran(client, ["bash", "-c", look], **spec)

    assert [answer[0] for answer in said + named] == ["403"] * len([*said, *named])
    assert len(told) == len(addresses)
    # Refused at once; and no abstract socket of others is in sight.
    assert lines(client, direct.id) == ["http://127.0.0.1:9100/in 000 000 7", "0"]
    seen = lines(client, neighbour).count("asked /me 127.0.0.1")
    eventually(lambda: lines(client, neighbour).count("asked /me 127.0.0.1") > seen)  # it lives
    assert set(lines(client, neighbour)[1:]) == {"asked /me 127.0.0.1"}
    client.cancel(neighbour)


def test_a_host_with_the_operators_own_certificate_is_trusted(client: Client) -> None:
    spec = {"network_mode": "outbound", "allowed_hosts": ["secure.test"]}

    job = ran(client, ["curl", "-sS", "https://secure.test/a"], **spec)

    assert lines(client, job.id) == ["hello in private"]


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
        f"http://127.0.0.1:{stack.port}/jobs",
        f"https://[::ffff:127.0.0.1]:{stack.port}/jobs",
        f"http://localhost:{outside.port}/x",
        "http://a.lan/",
    ]

    said, told = curled(client, *urls, network_mode="full")

    assert ["403" in answer for answer in said] == [True] * len(urls)
    assert len(told) == len(urls)
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
