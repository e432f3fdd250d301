"""The main job on real parts: HTTP, Redis, Celery, Podman, streams, objects."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from knify.client import ApiError, Client
from tests.parts import stack as stack_part
from tests.stack import parts

EXAMPLE = Path(__file__).parents[2] / "examples" / "inspect-package"
pytestmark = [pytest.mark.stack, pytest.mark.podman]


def test_a_command_runs_as_a_user_that_is_not_root_in_its_workspace(client: Client) -> None:
    job = parts.ran(client, "id -u; pwd; touch /x 2>/dev/null || echo read-only; ls /sys/class/net")

    assert job.status == "completed"
    assert parts.lines(client, job.id) == ["1000", "/workspace", "read-only", "lo"]
    assert parts.stages(client, job.id) == [
        *("created", "staging", "provisioning", "sandbox_created", "ready", "agent_started"),
        *("completing", "sandbox_paused", "completed"),
    ]


def test_nothing_of_a_jobs_command_or_environment_stands_in_podmans_records(
    client: Client, stack: stack_part.Stack
) -> None:
    from knify.host import podman

    job = parts.ran(client, "echo $CANARY", env={"CANARY": "c4n4ry"})

    assert parts.lines(client, job.id) == ["c4n4ry"]
    seen = podman.call("inspect", f"knify-{job.sandbox_id}").out
    assert job.sandbox_id in seen
    assert "c4n4ry" not in seen
    assert "echo" not in seen


def test_output_arrives_while_the_command_runs(client: Client) -> None:
    job_id = parts.submit(client, "for i in 1 2 3 4 5; do echo $i; sleep 0.3; done")

    seen = [time.monotonic() for _ in client.stream_output(job_id, raw=True)]

    assert len(seen) == 5
    assert seen[-1] - seen[0] > 0.8


def test_a_runbook_inspects_a_real_workspace_and_its_files_come_back_whole(
    client: Client, tmp_path: Path
) -> None:
    workspace = client.upload_workspace(EXAMPLE, "inspect-package")
    spec = {
        "job_type": "runbook_task",
        "prompt": "@runbook.md",
        "workspace_path": workspace["path"],
    }

    job = client.wait(client.create_job(spec).job_id, timeout=60)
    got = client.download_all(job.id, tmp_path)

    assert job.status == "completed"
    assert {"report.md", "result.json"} <= {file.path for file in got}
    assert parts.content(client, job.id, "result.json")["tests"]["failed"] == 1
    more = f"sha256sum {' '.join(sorted(job.files))}"
    turn = client.continue_job(job.id, {"job_type": "command_task", "command": more}).job_id
    client.wait(turn, timeout=60)
    inside = {line.split()[1]: line.split()[0] for line in parts.lines(client, turn)}
    outside = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in inside}
    assert inside == outside


def test_a_continued_job_finds_the_files_of_the_first(client: Client) -> None:
    first = parts.ran(
        client, "echo one > a; chmod 640 a; ln -s a link; mkdir -p d; echo h > ~/.note"
    )

    second = client.continue_job(
        first.id,
        {"job_type": "command_task", "command": "cat link ~/.note; stat -c %a a; echo 2 >> a"},
    )
    done = client.wait(second.job_id, timeout=60)

    assert done.sandbox_id == first.sandbox_id
    assert done.parent_job_id == first.id
    assert parts.lines(client, done.id) == ["one", "h", "640"]
    assert parts.content(client, done.id, "a") == "one\n2\n"


def test_turns_wait_for_each_other_and_a_failed_one_stops_nobody(client: Client) -> None:
    first = parts.submit(client, "sleep 0.5; echo 1 >> log; exit 3")

    turns = [
        client.continue_job(
            first, {"job_type": "command_task", "command": f"echo {n} >> log"}
        ).job_id
        for n in (2, 3)
    ]
    last = client.wait(turns[-1], timeout=60)

    assert client.job(first).error == "exited with code 3"
    assert parts.content(client, last.id, "log") == "1\n2\n3\n"


def test_a_job_killed_by_its_memory_limit_says_so(client: Client) -> None:
    job = parts.ran(client, ["python3", "-c", "x = bytearray(400 << 20)"], memory="64M")

    assert job.status == "failed"
    assert job.error == "killed by its memory limit of 64.0 MiB"


@pytest.mark.parametrize(
    ("command", "limits", "reason"),
    [
        ("sleep 60", {"timeout": "1s"}, "timed out after 1 s"),
        ("echo hello; sleep 60", {"hang_timeout": "1s"}, "printed nothing for 1 s"),
        ("exit 7", {}, "exited with code 7"),
        (["no-such-program"], {}, "exited with code 127"),
    ],
)
def test_a_failed_job_says_why(
    client: Client, command: str | list[str], limits: dict[str, str], reason: str
) -> None:
    job = parts.ran(client, command, **limits)

    assert (job.status, job.error) == ("failed", reason)
    assert client.output(job.id)[-1] | {"timestamp": ""} == {
        "type": "completed",
        "timestamp": "",
        "status": "failed",
        "error": reason,
        "exit_code": job.exit_code,
    }


def test_files_of_a_job_that_timed_out_are_still_collected(client: Client) -> None:
    job = parts.ran(client, "echo half > part.txt; sleep 60", timeout="1s")

    assert job.files == ("part.txt",)


def test_a_running_job_is_cancelled_within_moments(client: Client) -> None:
    job_id = parts.submit(client, "echo started; sleep 60")
    next(client.stream_output(job_id, raw=True))

    client.cancel(job_id)

    assert client.wait(job_id, timeout=20).status == "cancelled"


def test_a_cleaned_up_sandbox_is_gone_from_podman_and_cannot_be_continued(client: Client) -> None:
    from knify.host import podman

    job = parts.ran(client, "echo x > y")

    client.cleanup(job.id)
    client.cleanup(job.id)

    stack_part.eventually(lambda: not podman.call("inspect", f"knify-{job.sandbox_id}").ok)
    label = f"label=knify.sandbox={job.sandbox_id}"
    volumes = ("volume", "ls", "--quiet", "--filter", label)
    stack_part.eventually(lambda: podman.call(*volumes).out == "")
    with pytest.raises(ApiError) as refused:
        client.continue_job(job.id, {"job_type": "command_task", "command": "true"})
    assert (refused.value.status, refused.value.code) == (409, "SANDBOX_DELETED")


def test_a_busy_sandbox_is_cleaned_up_only_by_force(client: Client) -> None:
    job_id = parts.submit(client, "echo started; sleep 60")
    next(client.stream_output(job_id, raw=True))

    with pytest.raises(ApiError) as refused:
        client.cleanup(job_id)
    client.cleanup(job_id, force=True)

    assert refused.value.code == "SANDBOX_BUSY"
    assert client.wait(job_id, timeout=20).status == "cancelled"
    stack_part.eventually(lambda: _is_deleted(client, job_id))


def _is_deleted(client: Client, job_id: str) -> bool:
    try:
        client.continue_job(job_id, {"job_type": "command_task", "command": "true"})
    except ApiError as refused:
        return refused.code == "SANDBOX_DELETED"
    return False


def test_hostile_output_is_stored_as_it_is(client: Client) -> None:
    said = "data: {}\\n\\nid: 9\\n<script>\\033[31m\\r\\0\\377 end"

    job = parts.ran(client, f"printf '{said}'")

    assert parts.lines(client, job.id) == [
        *("data: {}", "", "id: 9", "<script>\x1b[31m\r\x00\ufffd end"),
    ]


def test_links_are_no_artifacts_and_nothing_outside_the_workspace_is(client: Client) -> None:
    job = parts.ran(
        client, "ln -s /etc/passwd leak; ln -s / root; mkfifo pipe; echo x > /tmp/t; echo y > ok"
    )

    assert job.files == ("ok",)


def test_many_jobs_more_than_there_are_slots_all_complete(client: Client) -> None:
    jobs = [parts.submit(client, f"echo {n}") for n in range(12)]

    done = [client.wait(job_id, timeout=120) for job_id in jobs]

    assert [job.status for job in done] == ["completed"] * 12
    assert [parts.lines(client, job.id) for job in done] == [[str(n)] for n in range(12)]


def test_a_job_that_uses_more_disk_than_it_was_given_is_stopped(client: Client) -> None:
    command = "head -c 30000000 /dev/zero | tr '\\0' x > big; mkdir -p a/b; sleep 60"

    job = parts.ran(client, command, disk="20M")

    assert (job.status, job.error) == ("failed", "used more than its disk limit of 20.0 MiB")


def test_a_cancelled_command_is_never_taken_for_a_failed_one(client: Client) -> None:
    jobs = [parts.submit(client, "echo started; exec sleep 60") for _ in range(12)]
    for job_id in jobs:
        next(client.stream_output(job_id, raw=True))
        client.cancel(job_id)

    assert [client.wait(job_id, timeout=30).status for job_id in jobs] == ["cancelled"] * 12
