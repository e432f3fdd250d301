"""Hostile requests to every route there is; a new route is covered by being in the URL map."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import flask
import pytest
from werkzeug.test import TestResponse

from api import auth
from api import errors as api_errors
from knify.core import Core
from tests.api.parts import MANIFEST, Api, Worker, archive, rules

JSON = "application/json"
#: Bodies that no route may take for an object of its own.
BODIES: dict[str, bytes] = {
    "empty": b"",
    "half": b"{",
    "null": b"null",
    "number": b"1",
    "text": b'"x"',
    "list": b"[{}]",
    "deep list": b"[" * 20_000 + b"]" * 20_000,
    "deep object": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "deep under the limit's field": b'{"spec":' + b"[" * 70 + b"]" * 70 + b"}",
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "UTF-32": '{"name": "x"}'.encode("utf-32-le"),
    "byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "overlong UTF-8": b'{"name": "\xc0\x80"}',
    "lone surrogate": b'{"name": "\\ud800"}',
    "lone surrogate as a name": b'{"\\udfff": 1}',
    "encoded surrogate": b'{"name": "\xed\xa0\x80"}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": -Infinity}',
    "1e999": b'{"name": 1e999}',
    "many digits": b'{"name": ' + b"9" * 10_000 + b"}",
    "long exponent": b'{"name": 1e' + b"9" * 5_000 + b"}",
    "doubled name": b'{"name": "a", "name": "b"}',
    "doubled name, escaped": b'{"name": "a", "n\\u0061me": "b"}',
    "many names": ("{" + ",".join(f'"{n:x}":0' for n in range(6_000)) + "}").encode(),
    "NUL": b'{"name": "a\\u0000b", "spec": {"job_type": "\\u0000"}, "url": "http://a\\u0000"}',
    "raw NUL": b'{"name": "a\0b"}',
    "two documents": b"{} {}",
    "comment": b"{/**/}",
    "prototype": b'{"__proto__": {"a": 1}, "constructor": {}, "__class__": "x"}',
    "gzip": gzip.compress(b'{"name": "x"}'),
    "too long": b'{"name": "' + b"x" * 70_000 + b'"}',
}
KINDS = [
    "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
    "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 300,
    "application/json; charset=utf-16", "application/json;" * 20, "application/xml", "\\", "a/b/c",
    "application/json\tx", "APPLICATION/JSON",
]  # fmt: skip
IDS = [
    "job_none", "..", ".", "%2e%2e", "%2F", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%00", "a%00b",
    "%0d%0aX-Evil:1", "%FF%FE", "%F0%9F%92%A9", "%25252e", "*", "job:*", "{}", "'", '"', "<b>",
    "a" * 101, "a" * 5_000, "-1", "0", "%20", ";", "a;b", "a,b", "~", "$where", "\\", "%5c..%5c",
    "%E2%80%AE", "a%0a",
]  # fmt: skip
NUMBERS = [
    "", "0", "-1", "-0", "1e3", "1.0", "0x10", "1_0", " 1", "1 ", "+1", "%2B1", "NaN", "null",
    "true", "100000000000000000000", "9" * 400, "%D9%A1", "%00", "[]", "1,2", "99999",
]  # fmt: skip
TEXTS = [
    "", "%00", "a%00b", "%FF", "%ED%A0%80", "*", "a" * 5_000, "'", "%0d%0a", "{}", "..",
    "2026-13-01T00:00:00Z", "9999-12-31T23:59:59%2B99:99", "0000-00-00T00:00:00Z", "1e400",
]  # fmt: skip
HEADERS: list[dict[str, str]] = [
    {"Last-Event-ID": value}
    for value in ("-1", "1.1.1", "9" * 18, "9" * 400, "x", "1e3", "\xff", "0.", ".1", "1.9999999")
] + [
    {"Range": value}
    for value in (
        "bytes=", "bytes=-", "bytes=5-1", "bytes=-0", "bytes=99999999-", "bytes=0-" + "9" * 300,
        "lines=0-1", "bytes=" + "0-0," * 500, "bytes=a-b", "=", "\xff",
    )
] + [
    {"If-None-Match": '"' + "x" * 5_000}, {"If-None-Match": "*"}, {"If-None-Match": "W/"},
    {"If-Range": "\xff"}, {"If-Range": "Mon, 99 Foo 2026"}, {"If-Modified-Since": "never"},
    {"Idempotency-Key": ""}, {"Idempotency-Key": "\xe9"}, {"Idempotency-Key": "x" * 5_000},
    {"X-Request-Id": "x" * 5_000}, {"X-Request-Id": "\xff<b>"}, {"Accept": "\xff;q=x"},
    {"Accept-Encoding": "br;q=" + "9" * 400}, {"Content-Encoding": "gzip"}, {"Cookie": "=;" * 400},
    {"Host": "evil.example"}, {"Host": ""}, {"Host": "a b"}, {"Host": "[::1"}, {"Host": "x:99999"},
    {"X-Forwarded-Host": "evil.example"}, {"X-Forwarded-Proto": "javascript"},
    {"X-HTTP-Method-Override": "DELETE"}, {"Origin": "null"}, {"Content-Length": "0"},
    {"Transfer-Encoding": "chunked"}, {"Upgrade": "h2c"}, {"Traceparent": "00-\xff"},
]  # fmt: skip
KEYS = [
    "", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "bearer knify_live_a_b", "Bearer \xe9",
    "Bearer knify_live__", "Bearer knify_live_*_x", "Bearer " + "x" * 5_000, "Bearer a b c",
    "Bearer knify_live_" + "a" * 5_000 + "_b", "Token x", "Bearer null", "Bearer knify_test_a_b",
]  # fmt: skip


class Routes:
    """Every method and path of the URL map, with ids of things that exist."""

    def __init__(self, app: flask.Flask, names: dict[str, str]) -> None:
        self.names = names
        self.rules = [
            (method, rule.rule, app.view_functions[rule.endpoint])
            for rule in rules(app)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]
        self.rules.sort(key=lambda row: row[0] == "DELETE" or row[1].endswith("cleanup"))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((method, self.path(rule)) for method, rule, _ in self.rules)

    def path(self, rule: str, **other: str) -> str:
        known = self.names | other
        return re.sub(r"<(?:\w+:)?(\w+)>", lambda m: known.get(m[1], "none"), rule)


@pytest.fixture
def routes(app: flask.Flask, api: Api, worker: Worker, core: Core) -> Routes:
    """A job that has ended with a file; the sandbox, workspace, key and webhook of somebody."""
    job_id = api.submit()
    x = worker.finish(worker.lines(worker.run(job_id), "hello", "you"))
    worker.keep(job_id, {"hello.txt": b"hello"})
    made = api.upload(archive({"a/b": b"c"}), name="demo").get_json()
    key = api.post("/keys", {"name": "x", "scopes": ["read"]}).get_json()
    task = api.post("/api/v1/tasks", MANIFEST).get_json()
    return Routes(
        app,
        {
            "job_id": job_id, "sandbox_id": str(x.sandbox_id), "path": "hello.txt",
            "workspace_id": made["workspace_id"], "key_id": key["id"], "name": "start.js",
            "task_id": task["task_id"],
        },
    )  # fmt: skip


def check(answer: TestResponse, what: Any) -> None:
    """Ours, and no bug: 503 and 507 are answers, anything else from 500 on is none."""
    assert answer.status_code < 500 or answer.status_code in (503, 507), (what, answer.text)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["X-Request-Id"]), what
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        body = answer.get_json()
        of_tasks = api_errors.of_tasks(answer.request.path)
        form = {"error", "message", "details"} if of_tasks else {"error", "detail", "code"}
        form |= {"message", "status"} if api_errors.of_projects(answer.request.path) else set()
        assert set(body) == form, (what, answer.text)
        assert "Traceback" not in answer.text
        assert "werkzeug" not in answer.text.lower()
    answer.close()


def test_no_route_stumbles_over_a_body(routes: Routes, api: Api) -> None:
    for (method, path), name in itertools.product(routes, BODIES):
        if method == "GET":
            continue
        answer = api.request(method, path, data=BODIES[name], content_type=JSON)

        check(answer, (method, path, name))
        if method == "POST" and path in ("/jobs", "/keys", "/webhooks") and name != "many names":
            assert answer.status_code in (400, 413), (path, name, answer.text)


def test_no_route_stumbles_over_a_content_type(routes: Routes, api: Api) -> None:
    for (method, path), kind in itertools.product(routes, KINDS):
        if method in ("POST", "PUT", "PATCH"):
            check(api.request(method, path, data=b'{"a": 1}', content_type=kind), (path, kind))


def test_no_route_stumbles_over_an_id(routes: Routes, api: Api) -> None:
    for method, rule, _ in routes.rules:
        for name in re.findall(r"<(?:\w+:)?(\w+)>", rule):
            for value in IDS:
                path = routes.path(rule, **{name: value})

                answer = api.request(method, path, json={})

                check(answer, (method, path))
                assert "X-Evil" not in answer.headers


def test_no_route_stumbles_over_a_query(routes: Routes, api: Api) -> None:
    described = api.get("/openapi.json").get_json()
    for method, rule, view in routes.rules:
        if auth.is_stream(view):
            continue  # what `after` may be is in test_no_route_stumbles_over_a_header
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
        doc = described["paths"][path][method.lower()]
        for parameter in doc.get("parameters", []):
            if parameter.get("in") != "query":
                continue
            name = parameter["name"]
            name = {"metadata": "metadata.x", "label": "label.x"}.get(name, name)
            for value in NUMBERS + TEXTS:
                query = f"{routes.path(rule)}?{name}={quote(value, safe='%')}"
                check(api.request(method, query, json={}), (method, query))


@pytest.mark.slow
def test_no_route_stumbles_over_a_header(routes: Routes, api: Api) -> None:
    for (method, path), headers in itertools.product(routes, HEADERS):
        if method != "DELETE" and not path.endswith("cleanup"):
            check(api.request(method, path, headers=headers), (method, path, headers))


def test_no_route_opens_without_a_key(routes: Routes, app: flask.Flask) -> None:
    client = app.test_client()
    for method, rule, view in routes.rules:
        scope = auth.scope_of(view)
        for key in KEYS if scope != auth.PUBLIC else ():
            path = routes.path(rule)

            answer = client.open(path, method=method, headers={"Authorization": key}, data=b"{")

            check(answer, (method, path, key))
            assert answer.status_code == 401, (method, path, key)


def test_a_method_that_a_path_does_not_know_is_405_with_those_that_it_knows(
    routes: Routes, api: Api
) -> None:
    known: dict[str, set[str]] = {}
    for method, path in routes:
        known.setdefault(path, set()).add(method)
    # A task's own methods are known there, too; no task is called so.
    known["/api/v1/tasks/stream"].add("DELETE")
    for path, methods in known.items():
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "X"):
            if method not in methods:
                answer = api.request(method, path, json={})
                check(answer, (method, path))
                assert answer.status_code == 405, (method, path, answer.text)
                assert set(answer.headers["Allow"].split(", ")) >= methods
        check(api.request("OPTIONS", path), ("OPTIONS", path))
        if "GET" in methods:
            head = api.request("HEAD", path)
            check(head, ("HEAD", path))
            assert not head.data


def test_odd_paths_lead_nowhere(api: Api) -> None:
    for path in (
        "//", "//jobs", "/jobs/", "/jobs//x", "/JOBS", "/jobs/%2e%2e/keys", "/%2e%2e/etc/passwd",
        "/jobs%00", "/jobs%0a", "/" + "x" * 8_000, "/\xff", "/%FF", "/jobs;x=1", "/.env",
        "/docs//x", "/openapi.json/", "/static/x", "/jobs/x/artifacts/",
        "/jobs/x/artifacts/../../keys",
    ):  # fmt: skip
        answer = api.get(path)

        check(answer, path)
        assert answer.status_code == 404, (path, answer.status_code)


def test_a_request_changes_nothing_but_what_it_names(routes: Routes, api: Api, core: Core) -> None:
    """After the whole URL map was called with rubbish, what was there is still there."""
    for method, rule, _ in routes.rules:
        if method != "DELETE":
            api.request(method, routes.path(rule, **dict.fromkeys(routes.names, "x*")), data=b"\0")

    assert api.get(f"/jobs/{routes.names['job_id']}").status_code == 200
    assert api.get(f"/workspaces/{routes.names['workspace_id']}").status_code == 200
    assert json.loads(api.get(f"/keys/{routes.names['key_id']}").data)["status"] == "active"


def test_a_key_that_was_used_with_an_empty_object_does_not_answer_no_body(api: Api) -> None:
    headers = {"Idempotency-Key": "once"}
    made = api.post("/keys", {}, headers=headers)

    answer = api.request("POST", "/keys", headers=headers)

    assert made.status_code == 200, made.text
    check(answer, "no body")
    assert answer.status_code == 422
