"""Secrets on the real runner, watcher and Redis: given to the command, kept from everybody else."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from knify import collect, conflicts, custody, errors, model
from knify.lifecycle import State
from knify.services import artifacts, jobs
from knify.store import keys
from tests.runner.rig import ERR, OUT, Rig, Worker, die, eventually

TOKEN = "ghp_0123456789abcdef"
ENCODED = base64.b64encode(f"user:{TOKEN}".encode())
REF = {"name": "GITHUB_TOKEN", "source": "env", "key": "TEAM_TOKEN"}


@pytest.fixture(autouse=True)
def _operator(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allows one variable and one folder."""
    (tmp_path / "secrets").mkdir()
    monkeypatch.setenv("TEAM_TOKEN", TOKEN)
    monkeypatch.setenv("BYTES", "secret of \udcff bytes")
    allowed = {"secret_env": ("TEAM_TOKEN", "GONE", "BYTES"), "secret_dir": tmp_path / "secrets"}
    rig.core = dataclasses.replace(
        rig.core, settings=dataclasses.replace(rig.core.settings, **allowed)
    )


def given(rig: Rig) -> list[dict[str, str]]:
    """The variables of each turn that was started."""
    return [turn.env for box in rig.host.containers.values() for turn in box.turns]


def goes_on(rig: Rig, parent: str, *argv: str, **spec: Any) -> str:
    request = {"job_type": "command_task", "command": list(argv)} | spec
    return jobs.continue_(rig.core, "default", parent, jobs.Submission(request)).execution.id


def everything(rig: Rig) -> str:
    """All that Redis holds."""
    client, found = rig.core.store.client, []
    for key in client.scan_iter("*"):
        kind = client.type(key)
        if kind == "string":
            found.append(client.get(key))
        elif kind == "hash":
            found.append(client.hgetall(key))
        elif kind == "stream":
            found.append(client.xrange(key))
        elif kind == "list":
            found.append(client.lrange(key, 0, -1))
        else:
            found.append(list(client.sscan_iter(key) if kind == "set" else client.zscan_iter(key)))
    return json.dumps(found)


def test_a_command_finds_its_secrets_in_its_variables_and_nobody_else_finds_them(
    rig: Rig, tmp_path: Path
) -> None:
    (tmp_path / "secrets" / "deep").mkdir()
    (tmp_path / "secrets" / "deep" / "key").write_text("line one of it\nline two of it\n")
    (tmp_path / "secrets" / "link").symlink_to("deep/key")
    told = f"a {TOKEN}\nb {ENCODED.decode()}\nline two of it\n".encode()
    rig.script("show", steps=[(0, OUT, told[:7]), (0, OUT, told[7:]), (0, ERR, TOKEN.encode())])
    file = {"name": "KEY", "source": "file", "key": "link"}

    job = rig.submit("show", secrets=[REF, file])
    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    env = given(rig)[0]
    assert env["GITHUB_TOKEN"] == TOKEN
    assert env["KEY"] == "line one of it\nline two of it"
    lines = rig.lines(job)
    assert {"a ***", "***"} < set(lines)
    assert not [line for line in lines if "line two" in line]
    dump = everything(rig)
    assert TOKEN not in dump
    assert ENCODED.decode()[10:20] not in dump


@pytest.mark.parametrize(
    ("ref", "why"),
    [
        ({"source": "env", "key": "PATH"}, "does not allow the variable PATH"),
        ({"source": "env", "key": "GONE"}, "has no variable GONE"),
        ({"source": "env", "key": "BYTES"}, "no text in UTF-8"),
        ({"source": "file", "key": "none"}, "there is no file none for jobs"),
        ({"source": "file", "key": "short"}, "is shorter than 8 bytes"),
        ({"source": "file", "key": "long"}, "is longer than"),
        ({"source": "file", "key": "binary"}, "is not UTF-8"),
        ({"source": "file", "key": "nul"}, "NUL"),
    ],
)
def test_a_secret_that_cannot_be_given_fails_the_job_before_its_sandbox_is_made(
    rig: Rig, tmp_path: Path, ref: dict[str, str], why: str
) -> None:
    folder = tmp_path / "secrets"
    (folder / "short").write_text("1234567\n")
    (folder / "long").write_text("x" * 20_000)
    (folder / "binary").write_bytes(b"\xff" * 10)
    (folder / "nul").write_bytes(b"\0" * 10)

    job = rig.submit("true", secrets=[{"name": "NAMED", **ref}])
    Worker(rig).advance(job)

    x = rig.ended(job)
    assert x.state is State.FAILED
    assert "the secret NAMED: " in (x.error or "")
    assert why in (x.error or "")
    assert rig.host.containers == {}


def test_what_is_there_in_the_operators_folder_that_no_job_may_have_is_told_to_the_log_alone(
    rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "secrets"
    (tmp_path / "outside").write_text("out of reach")
    (folder / "outside").symlink_to("../outside")
    (folder / "deep").mkdir()
    (folder / "file").write_text("a long secret")
    (folder / "circle").symlink_to("circle")
    names = ("none", "outside", "deep", "circle", "file/below", "x" * 300)

    said = set()
    for name in names:
        ref = model.SecretRef("NAMED", "file", name)
        with pytest.raises(ValueError, match="for jobs") as failed:
            custody._of_file(rig.core, "default", ref)
        said.add(str(failed.value).replace(name, "NAME"))

    assert len(said) == 1
    for reason in ("not below the folder", "no regular file", "Not a directory", "No such file"):
        assert reason in caplog.text


def test_a_later_turn_covers_what_an_earlier_one_was_given_and_is_not_given_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.script("cat", steps=[(0, OUT, f"{TOKEN} and new_token_1234\n".encode())])
    first = rig.submit("true", secrets=[REF])
    Worker(rig).advance(first)
    rig.ended(first)

    monkeypatch.setenv("TEAM_TOKEN", "new_token_1234")  # the operator has changed it meanwhile
    second = goes_on(rig, first, "cat")
    Worker(rig).advance(second)
    rig.ended(second)
    assert "GITHUB_TOKEN" not in given(rig)[-1]
    third = goes_on(rig, second, "cat", secrets=[REF])
    Worker(rig).advance(third)
    rig.ended(third)

    assert rig.lines(second) == ["*** and new_token_1234"]
    assert given(rig)[-1]["GITHUB_TOKEN"] == "new_token_1234"
    assert rig.lines(third) == ["*** and ***"]


def test_what_was_kept_of_secrets_goes_with_the_sandbox(rig: Rig) -> None:
    job = rig.submit("true", secrets=[REF])
    Worker(rig).advance(job)
    sandbox = rig.ended(job).sandbox_id or ""
    assert rig.core.store.client.hget(keys.sandbox(sandbox), "custody")

    jobs.clean_up(rig.core, "default", job)

    assert rig.core.store.client.hget(keys.sandbox(sandbox), "custody") is None


def test_words_of_an_agent_are_covered_also_when_only_its_events_hold_them_whole(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON may write any letter as an escape, so no raw line holds it."""
    monkeypatch.setenv("CURSOR_API_KEY", "key-of-the-operator")
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in TOKEN)
    text = '{"type":"assistant","message":{"content":[{"type":"text","text":"it is %s"}]}}\n'
    end = '{"type":"result","subtype":"success","is_error":false,"result":"%s"}\n'
    options = ("--output-format", "stream-json", "--force", "--trust", "--approve-mcps")
    argv = ("cursor-agent", "-p", *options, "--model", "auto", "ask")
    rig.script(*argv, steps=[(0, OUT, (text % escaped + end % escaped).encode())])

    request = {"job_type": "cursor_task", "prompt": "ask", "secrets": [REF]}
    job = jobs.submit(rig.core, "default", jobs.Submission(request)).execution.id
    Worker(rig).advance(job)
    rig.ended(job)

    events = [e for entry in rig.core.store.streams.output(job) for e in entry.events]
    assert [e["message"] for e in events if e["type"] == "agent_message"] == ["it is ***"]
    assert events[-1]["result"] == "it is ***"
    assert TOKEN not in everything(rig)


def test_why_an_agent_failed_is_told_without_secrets(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURSOR_API_KEY", "key-of-the-operator")
    options = ("--output-format", "stream-json", "--force", "--trust", "--approve-mcps")
    argv = ("cursor-agent", "-p", *options, "--model", "auto", "ask")
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in TOKEN)
    failed = f'{{"type":"result","subtype":"success","is_error":true,"result":"no {escaped}"}}\n'
    rig.script(*argv, steps=[(0, OUT, failed.encode())], exit_code=1)

    request = {"job_type": "cursor_task", "prompt": "ask", "secrets": [REF]}
    job = jobs.submit(rig.core, "default", jobs.Submission(request)).execution.id
    Worker(rig).advance(job)

    assert rig.ended(job).error == "no ***"
    assert TOKEN not in everything(rig)


@pytest.mark.parametrize("n", range(0, 60, 5))
@pytest.mark.parametrize("when", ["before", "after"])
def test_wherever_a_worker_dies_the_output_is_whole_and_covered(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, n: int, when: str
) -> None:
    wrapped = "\n".join(ENCODED.decode()[at : at + 10] for at in range(0, len(ENCODED), 10))
    pieces = [
        "one\n",
        f"x{TOKEN[:9]}",
        f"{TOKEN[9:]}y\ntwo\n",
        wrapped[:23],
        f"{wrapped[23:]}\nend\n",
    ]
    rig.script("show", steps=[(0.002, OUT, piece.encode()) for piece in pieces])
    job = rig.submit("show", secrets=[REF])

    victim = Worker(rig)
    die(rig, victim, n, when, monkeypatch)
    victim.advance(job)
    eventually(lambda: victim.died.is_set() or rig_ended(rig, job))
    victim.vanish()
    monkeypatch.undo()
    monkeypatch.setenv("TEAM_TOKEN", TOKEN)
    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    lines = rig.lines(job)
    # Of the third line's last three digits nobody could know yet what they begin.
    assert lines == ["one", "x***y", "two", "dXNlcjpnaH", "***", "***", "***g==", "end"]
    assert rig.starts(job) == 1


def rig_ended(rig: Rig, job: str) -> bool:
    return rig.job(job).state in (State.COMPLETED, State.FAILED)


def test_values_that_were_sealed_with_another_key_are_not_taken_for_none(rig: Rig) -> None:
    job = rig.submit("true", secrets=[REF])
    Worker(rig).advance(job)
    sandbox = rig.core.store.sandboxes.find(rig.ended(job).sandbox_id or "")
    assert sandbox is not None

    with pytest.raises(errors.ObjectStoreError):
        custody._kept(rig.core, sandbox.evolve(custody="AAAA"))


def test_files_that_hold_a_secret_are_listed_and_withheld(rig: Rig) -> None:
    hidden = {
        "raw.txt": f"key={TOKEN}\n".encode(),
        "deep/packed.json": b'{"auth": "' + ENCODED + b'"}',
        f"{TOKEN}.txt": b"its name alone",
    }
    rig.script("make", files=hidden | {"fine.txt": b"nothing in it"})
    job = rig.submit("make", secrets=[REF])

    Worker(rig).advance(job)
    x = rig.ended(job)

    found = {a.path: a for a in artifacts.of(rig.core, x)}
    assert {path for path, a in found.items() if a.withheld} == {
        "raw.txt", "deep/packed.json", "***.txt",
    }  # fmt: skip
    assert found["raw.txt"].size == len(hidden["raw.txt"])
    assert found["raw.txt"].sha256 == ""
    objects = [one.key for one in rig.core.objects.list(artifacts.files_folder(job))]
    assert objects == [found["fine.txt"].key]
    told = [e.detail for e in rig.core.store.streams.events(job) if e.stage == "artifact_withheld"]
    assert sorted(told) == [
        f"{path}: withheld, it holds the value of a secret"
        for path in ("***.txt", "deep/packed.json", "raw.txt")
    ]
    with pytest.raises(conflicts.ArtifactWithheld):
        artifacts.find(rig.core, x, "raw.txt")
    assert artifacts.find(rig.core, x, "fine.txt").size == 13
    assert TOKEN not in everything(rig)


def test_a_later_job_without_secrets_withholds_what_an_earlier_one_was_given(rig: Rig) -> None:
    rig.script("make", files={"raw.txt": TOKEN.encode()})
    first = rig.submit("true", secrets=[REF])
    Worker(rig).advance(first)
    rig.ended(first)

    second = goes_on(rig, first, "make")
    Worker(rig).advance(second)

    assert [a.withheld for a in artifacts.of(rig.core, rig.ended(second))] == [True]


def test_hundreds_of_withheld_files_are_told_in_few_words() -> None:
    one = model.Artifact("a", 1, "", "text/plain", 1, "k", withheld=True)

    told = collect.withheld([one.evolve(path=str(n)) for n in range(100)])

    assert len(told) == 21
    assert told[-1] == "and 80 more files withheld"
