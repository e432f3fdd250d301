from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api import bodies, measure, strict
from knify import errors
from knify.core import Core
from tests.api.parts import COMMAND, CURSOR, Api

JSON = {"Content-Type": "application/json"}
REF = {"name": "A", "source": "env", "key": "B"}


@pytest.fixture(autouse=True)
def nothing_is_left_behind(core: Core, api: Api) -> Any:
    before = set(core.store.client.keys("*"))
    yield
    assert set(core.store.client.keys("*")) == before
    assert core.hints.sent == []  # type: ignore[attr-defined]


def check(answer: TestResponse, status: int, code: str, field: str | None = None) -> str:
    body = answer.get_json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert set(body) == {"error", "detail", "code"}
    assert "Traceback" not in answer.text
    assert answer.headers["X-Request-Id"]
    if field is not None:
        assert body["detail"]["field"] == field, body
    return str(body["error"])


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"spec": COMMAND | {"job_type": "odd_task"}}, "spec.job_type", "command_task"),
        (
            {"spec": {"job_type": "odd_task", "prompt": "x", "model": "auto"}},
            "spec.job_type",
            "command_task, cursor_task, fh_e2e_tools, gemini_task, runbook_task",
        ),
        ({"spec": COMMAND | {"model": "auto"}}, "spec.model", "does not belong to command_task"),
        ({"spec": CURSOR | {"command": "x"}}, "spec.command", "does not belong to cursor_task"),
        ({"spec": CURSOR | {"max_turns": 3}}, "spec.max_turns", "not available in this version"),
        (
            {"spec": {"job_type": "claude_task", "prompt": "x", "session_id": "session_123"}},
            "spec.session_id",
            "UUID",
        ),
        ({"spec": COMMAND | {"secrets": ["x"]}}, "spec.secrets.0", "name, source and key"),
        (
            {"spec": COMMAND | {"secrets": [{"name": "A", "source": "env", "value": "x"}]}},
            "spec.secrets.0.value",
            "never embedded",
        ),
        (
            {"spec": COMMAND | {"secrets": [{"name": "A", "source": "file", "key": "../x"}]}},
            "spec.secrets.0.key",
            "below the operator's folder",
        ),
        (
            {"spec": COMMAND | {"env": {"A": "b"}, "secrets": [REF]}},
            "spec.secrets.0.name",
            "stands in env already",
        ),
        ({"spec": COMMAND | {"secrets": [REF, REF]}}, "spec.secrets.1.name", "already"),
        (
            {"spec": CURSOR | {"secrets": [REF | {"name": "CURSOR_API_KEY"}]}},
            "spec.secrets.0.name",
            "operator",
        ),
        ({"spec": CURSOR | {"model": "gemini-3"}}, "spec.model", "composer-1"),
        ({"spec": CURSOR | {"session_id": "a b"}}, "spec.session_id", "letters"),
        ({"spec": CURSOR | {"session_id": "--x"}}, "spec.session_id", "letters"),
        ({"spec": CURSOR | {"prompt": " \n"}}, "spec.prompt", "needs prompt"),
        ({"spec": CURSOR | {"prompt": "a\0"}}, "spec.prompt", "NUL"),
        ({"spec": CURSOR | {"env": {"CURSOR_API_KEY": "k"}}}, "spec.env.CURSOR_API_KEY", "operat"),
        ({"spec": COMMAND | {"comand": "x"}}, "spec.comand", "did you mean command?"),
        ({"spec": COMMAND | {"zzz": 1}}, "spec.zzz", "known are"),
        ({"spec": COMMAND, "nmae": "x"}, "nmae", "did you mean name?"),
        ({"spec": {"job_type": "command_task"}}, "spec.command", "needs command"),
        ({"spec": {"job_type": "command_task", "command": []}}, "spec.command", "needs command"),
        ({"spec": {"job_type": "runbook_task"}}, "spec.prompt", "needs prompt"),
        ({"spec": COMMAND | {"prompt": "x"}}, "spec.prompt", "does not belong"),
        ({"spec": {}}, "spec.job_type", "Missing data"),
        ({}, "spec", "Missing data"),
        ({"spec": None}, "spec", "null"),
        ({"spec": []}, "spec", "object"),
        ([], "", "object"),
        ("text", "", "object"),
        ({"spec": COMMAND | {"priority": True}}, "spec.priority", "integer"),
        ({"spec": COMMAND | {"priority": 1.5}}, "spec.priority", "integer"),
        ({"spec": COMMAND | {"priority": 11}}, "spec.priority", "between"),
        ({"spec": COMMAND | {"priority": None}}, "spec.priority", "null"),
        ({"spec": COMMAND | {"cpus": "2"}}, "spec.cpus", "number"),
        ({"spec": COMMAND | {"command": 5}}, "spec.command", "string or list"),
        ({"spec": COMMAND | {"command": ["a", 5]}}, "spec.command.1", "string"),
        ({"spec": COMMAND | {"env": {"A": 1}}}, "spec.env.A", "string"),
        ({"spec": COMMAND | {"env": {"A B": "1"}}}, "spec.env.A B", "letters"),
        ({"spec": COMMAND | {"timeout": "soon"}}, "spec.timeout", "duration"),
        ({"spec": COMMAND | {"memory": "1"}}, "spec.memory", "between"),
        ({"spec": COMMAND | {"network_mode": "host"}}, "spec.network_mode", "isolated"),
        ({"spec": COMMAND | {"image": "docker.io/evil"}}, "spec.image", "not allowed"),
        ({"spec": COMMAND | {"artifact_patterns": ["../x"]}}, "spec.artifact_patterns.0", "relat"),
        ({"spec": COMMAND | {"metadata": {"a": "x" * 20_000}}}, "spec.metadata", "at most"),
        ({"spec": COMMAND | {"workspace_path": "/workspaces/x"}}, "spec.workspace_path", "no work"),
        ({"spec": COMMAND | {"workspace_path": "/etc"}}, "spec.workspace_path", "looks like"),
        ({"spec": COMMAND, "name": ""}, "name", "Length"),
        ({"spec": COMMAND, "name": 5}, "name", "string"),
    ],
)
def test_a_wrong_job_is_refused_with_the_fields_path(
    api: Api, body: Any, field: str, says: str
) -> None:
    message = check(api.post("/jobs", body), 400, "BAD_REQUEST", field)

    assert says in message


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "empty"),
        (b"{", "not valid JSON"),
        (b'{"spec": NaN}', "NaN"),
        (b'{"spec": 1e999}', "too large"),
        (b'{"spec": ' + b"9" * 5_000 + b"}", "not valid JSON"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"spec": "\\ud800"}', "UTF-8"),
        (b"[" * 100 + b"]" * 100, "nested"),
        (b"[" * 10_000, "nested"),
    ],
)
def test_a_body_that_readers_could_understand_differently_is_refused(
    api: Api, raw: bytes, says: str
) -> None:
    message = check(api.post("/jobs", data=raw, headers=JSON), 400, "BAD_REQUEST")

    assert says in message


def test_doubled_names_by_the_thousand_are_found_in_one_pass() -> None:
    """Counting each name by itself kept the whole server for as long as a megabyte takes."""
    names = [f"{n:x}" for n in range(9_000)]
    raw = ("{" + ",".join(f'"{name}":0' for name in [*names, *names]) + "}").encode()

    with pytest.raises(errors.BadRequest, match="twice"):
        bodies.parse(raw)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=100000000000000000000", "page"),
        ("page=1e3", "page"),
        ("page=1.0", "page"),
        ("page=", "page"),
        ("page=%201", "page"),
        ("page=1_0", "page"),
        ("page=%D9%A1", "page"),
        ("page=1&page=2", "page"),
        ("limit=101", "limit"),
        ("limit=NaN", "limit"),
        ("status=", "status"),
        ("status=running,odd", "status"),
        ("created_after=20260131T100000Z", "created_after"),
        ("created_after=2026-01-31", "created_after"),
        ("created_after=2026-01-31T10:00:00", "created_after"),
        ("metadata.=x", "metadata"),
        ("odd=1", "odd"),
    ],
)
def test_a_query_that_readers_could_understand_differently_is_refused(
    api: Api, query: str, field: str
) -> None:
    check(api.get(f"/jobs?{query}"), 400, "BAD_REQUEST", field)


def test_a_flag_has_four_spellings(api: Api) -> None:
    answer = api.request("POST", "/jobs/job_none/cleanup?force=yes")

    check(answer, 400, "BAD_REQUEST", "force")
    check(api.request("POST", "/jobs/job_none/cleanup?force=1"), 404, "NOT_FOUND")


def test_a_body_beyond_the_limit_is_too_large(api: Api) -> None:
    body = json.dumps({"spec": COMMAND | {"command": "x" * 70_000}})

    check(api.post("/jobs", data=body, headers=JSON), 413, "TOO_LARGE")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_refused_with_the_cure(api: Api, kind: str) -> None:
    answer = api.post("/jobs", data=json.dumps({"spec": COMMAND}), content_type=kind)

    assert "application/json" in check(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("key", ["", "x" * 256, "a\u00e9b"])
def test_a_strange_idempotency_key_is_refused(api: Api, key: str) -> None:
    headers = {"Idempotency-Key": key}

    check(api.post("/jobs", {"spec": COMMAND}, headers=headers), 400, "BAD_REQUEST")


@pytest.mark.parametrize("job_id", ["job_none", "x:events", "job%00x", "a" * 200, "..", "%F0%9F"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/events/stream"),
        ("GET", "/output"),
        ("GET", "/output/stream"),
        ("GET", "/cursor"),
        ("GET", "/cursor/stream"),
        ("GET", "/artifacts"),
        ("GET", "/artifacts/a.txt"),
        ("GET", "/artifacts.tar.gz"),
        ("POST", "/continue"),
        ("POST", "/cancel"),
        ("POST", "/cleanup"),
    ],
)
def test_an_unknown_job_is_not_found(api: Api, method: str, path: str, job_id: str) -> None:
    more: dict[str, Any] = {"json": {"spec": COMMAND}} if path == "/continue" else {}

    check(api.request(method, f"/jobs/{job_id}{path}", **more), 404, "NOT_FOUND")


def test_an_unknown_path_and_a_wrong_method_use_the_same_envelope(api: Api) -> None:
    check(api.get("/nowhere"), 404, "NOT_FOUND")
    answer = api.request("DELETE", "/jobs")
    check(answer, 405, "METHOD_NOT_ALLOWED")
    assert set(answer.headers["Allow"].split(", ")) >= {"GET", "POST"}


def test_a_bug_answers_500_without_its_text(
    api: Api, core: Core, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("inner secret")

    monkeypatch.setattr(type(core.store.listing), "page", broken)

    answer = api.get("/jobs", headers={"X-Request-Id": "my-id.1"})

    check(answer, 500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
    assert answer.get_json()["detail"] == {"request_id": "my-id.1"}
    assert "inner secret" in caplog.text
    assert "my-id.1" in caplog.text


def test_a_request_id_that_is_not_sane_is_replaced(api: Api) -> None:
    assert api.get("/", headers={"X-Request-Id": "ok-1"}).headers["X-Request-Id"] == "ok-1"
    assert api.get("/", headers={"X-Request-Id": "a b"}).headers["X-Request-Id"] != "a b"


def test_a_megabyte_of_unknown_fields_is_told_by_twenty(api: Api) -> None:
    """Looking for the nearest known name of each took the whole server's time."""
    names = {f"{n:x}": 0 for n in range(4_000)}

    answer = api.post("/jobs", {"spec": COMMAND} | names)

    check(answer, 400, "BAD_REQUEST")
    assert len(answer.get_json()["detail"]["problems"]) == 20


def test_for_unknown_names_nearest_ones_are_sought_a_few_times_only(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought: list[str] = []

    def nearest(name: str, *_: Any, **__: Any) -> list[str]:
        sought.append(name)
        return []

    monkeypatch.setattr("api.strict.difflib.get_close_matches", nearest)
    short, long = {f"pr{n}": 0 for n in range(500)}, {f"{n:050}": 0 for n in range(100)}

    for unknown in (short, long, long | short):
        answer = api.post("/jobs", {"spec": COMMAND | unknown})
        check(answer, 400, "BAD_REQUEST")
        assert len(answer.data) < 20_000

    assert len(sought) == strict.MAX_COMPLAINTS
    assert all(len(name) <= strict.MAX_GUESSED for name in sought)


def test_of_many_wrong_values_one_is_named(api: Api) -> None:
    env = {f"{'V' * 200}{n}": n for n in range(50)}

    answer = api.post("/jobs", {"spec": COMMAND | {"env": env}})

    check(answer, 400, "BAD_REQUEST")
    assert len(answer.data) < 1_000


@pytest.mark.parametrize(
    "raw",
    [
        b"[" + b"[]," * 10_001 + b"[]]",
        b"[" + b"1," * 20_001 + b"1]",
        b"[" * 20_001,
        b"{" + b'"a":{},' * 10_001 + b"}",
        b'["\\"",' * 20_001,
    ],
    ids=["lists", "numbers", "open", "objects", "texts"],
)
def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(
    raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_DECODER", None)

    with pytest.raises(errors.BadRequest, match="more than 20000 values"):
        bodies.parse(raw)


def test_what_stands_in_texts_counts_as_one_value() -> None:
    prompt = 'a, [b], {"c": "\\", d}\n' * 20_000

    assert bodies.parse(json.dumps({"prompt": prompt}).encode()) == {"prompt": prompt}


@pytest.mark.parametrize("raw", [b'"' + b'\\"' * 500_000, b'"' * 1_000_001, b'"' + b"\\" * 999_999])
def test_texts_that_never_end_are_read_once(raw: bytes) -> None:
    assert measure.count(raw + b",", b",") <= 1
