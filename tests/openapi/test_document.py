"""The description at /openapi.json: complete, valid, and true about the routes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import flask
import jsonschema
import openapi_spec_validator
import pytest

from api import auth
from api.openapi import answers, operations, page, specs
from knify import manifestkeys, spec
from tests.api.parts import Api, rules


@pytest.fixture
def document(app: flask.Flask) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return found


def routes(app: flask.Flask) -> set[tuple[str, str]]:
    return {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in rules(app)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def examples(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    for operation in operations.walk(document):
        body = operation.doc.get("requestBody", {}).get("content", {})
        answer = operation.success()[1].get("content", {})
        for content in (body, answer):
            if operations.JSON in content:
                media = content[operations.JSON]
                yield operation.id, media["schema"], media["example"]
    for name, answer in document["components"]["responses"].items():
        media = answer["content"][operations.JSON]
        yield name, media["schema"], media["example"]


def test_the_description_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    openapi_spec_validator.validate(document)

    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "/", "description": "this server"}]


def test_it_covers_every_route_and_no_other(app: flask.Flask, document: dict[str, Any]) -> None:
    found = {(o.method, o.path) for o in operations.walk(document)}

    assert found == routes(app)


def test_every_operation_has_a_name_a_summary_and_a_tag(document: dict[str, Any]) -> None:
    found = list(operations.walk(document))

    assert len({o.id for o in found}) == len(found)
    assert all(o.doc["summary"] and o.doc["tags"] for o in found)
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert all(tags[name] for o in found for name in o.doc["tags"])


def test_every_operation_says_what_scope_it_needs(
    app: flask.Flask, document: dict[str, Any]
) -> None:
    views = {rule.endpoint: app.view_functions[rule.endpoint] for rule in rules(app)}
    scopes = {name.split(".")[1]: auth.scope_of(view) for name, view in views.items()}

    for operation in operations.walk(document):
        scope = scopes[operation.id]
        said = operation.doc["security"]
        tokens = [{"token": []}] if operation.is_stream or operation.is_websocket else []
        assert said == ([] if scope == auth.PUBLIC else [{"key": [scope]}, *tokens]), operation.id


def test_every_operation_lists_its_errors_one_by_one(document: dict[str, Any]) -> None:
    for operation in operations.walk(document):
        known = set(operation.responses)
        assert "default" not in known
        assert known >= {"500"}
        assert operation.is_public or known >= {"401", "403", "429", "503"}
        assert "404" in known or not operation.in_path
        assert "requestBody" not in operation.doc or known >= {"400", "413", "415"}


def test_every_code_of_the_error_tree_that_reaches_clients_is_described() -> None:
    found = {code for status in answers.WHEN for code in answers.codes(status)}

    assert found >= {"BAD_REQUEST", "IMAGE_MISSING", "SANDBOX_BUSY", "OBJECT_MISSING", "NOT_READY"}
    assert "RANGE_NOT_SATISFIABLE" in answers.codes(416)
    assert "LEASE_LOST" not in found


def test_every_answer_carries_the_request_id(document: dict[str, Any]) -> None:
    for operation in operations.walk(document):
        for status, answer in operation.responses.items():
            if "$ref" in answer:
                answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
            assert "X-Request-Id" in answer["headers"], (operation.id, status)


def test_the_examples_are_what_the_schemas_say(document: dict[str, Any]) -> None:
    for name, schema, example in examples(document):
        whole = schema | {"components": document["components"]}
        checker = jsonschema.Draft202012Validator(whole)
        problems = [problem.message for problem in checker.iter_errors(example)]
        assert not problems, (name, example)


def test_the_examples_of_jobs_are_accepted(api: Api, document: dict[str, Any]) -> None:
    example = document["paths"]["/jobs"]["post"]["requestBody"]["content"][operations.JSON]

    made = api.post("/jobs", example["example"])

    assert made.status_code == 200, made.text


def test_the_example_of_a_task_is_accepted(api: Api, document: dict[str, Any]) -> None:
    media = document["paths"]["/api/v1/tasks"]["post"]["requestBody"]["content"]

    made = api.post("/api/v1/tasks", media[operations.JSON]["example"])

    assert made.status_code == 202, made.text
    assert set(media) == {"application/json", "application/yaml", "text/yaml"}


def test_every_key_of_a_manifest_is_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for section, there in schemas["Manifest"]["properties"].items():
        if "properties" in there and section in manifestkeys.SECTIONS:
            assert set(there["properties"]) == set(manifestkeys.SECTIONS[section]), section
            assert {} not in there["properties"].values(), section


def test_links_lead_from_what_was_made_to_all_that_take_its_id(document: dict[str, Any]) -> None:
    made = document["paths"]["/jobs"]["post"]["responses"]["200"]["links"]
    uploaded = document["paths"]["/workspaces"]["post"]["responses"]["200"]["links"]
    key = document["paths"]["/keys"]["post"]["responses"]["200"]["links"]

    assert set(made) >= {"get_job", "continue_job", "cancel_job", "clean_up_job", "get_events"}
    assert made["get_job"]["parameters"] == {"job_id": "$response.body#/job_id"}
    assert set(uploaded) >= {"get_workspace", "delete_workspace", "download_workspace"}
    assert key["revoke_key"]["parameters"] == {"key_id": "$response.body#/id"}


def test_every_field_of_every_job_type_is_described() -> None:
    known = {name for kind in spec.available() for name in spec.JOB_TYPES[kind].known}

    assert known - {"job_type", "image", "model"} <= set(specs.FIELDS)


@pytest.mark.parametrize(
    ("allowed", "image", "fits"),
    [
        ("localhost/*", "localhost/knify/base:latest", True),
        ("localhost/*", "docker.io/library/python:3.12", False),
        ("docker.io/library/python:3.12", "docker.io/library/python:3.12", True),
        ("docker.io/library/python:3.12", "docker.io/library/pythonx3.12", False),
        ("*", "a/b:c", True),
        ("*", "-a", False),
    ],
)
def test_allowed_images_are_a_pattern(allowed: str, image: str, fits: bool) -> None:
    pattern = specs.image((allowed,))["pattern"]

    assert bool(re.search(pattern, image)) == fits


def test_it_is_made_once_and_not_sent_again(app: flask.Flask) -> None:
    client = app.test_client()
    first = client.get("/openapi.json")

    second = client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})

    assert second.status_code == 304
    assert not second.data


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_inline_script(app: flask.Flask) -> None:
    client = app.test_client()
    shown = client.get("/docs")

    policy = shown.headers["Content-Security-Policy"]
    assert shown.status_code == 200
    assert client.get("/docs/").data == shown.data
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "://" not in shown.text
    assert not re.search(r"<script(?![^>]*\bsrc=)", shown.text)


def test_the_pages_files_are_these_and_no_other(app: flask.Flask) -> None:
    client = app.test_client()

    assert client.get("/docs/start.js").mimetype == "text/javascript"
    for name in ("page.py", "page.html", "stamp", "..%2fpage.py", "LICENSE"):
        assert client.get(f"/docs/{name}").status_code == 404
    if page.is_installed():
        assert "SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").text
        assert client.get("/docs/swagger-ui.css").mimetype == "text/css"


def test_without_its_files_the_page_says_how_to_get_them(
    app: flask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "is_installed", lambda: False)

    shown = app.test_client().get("/docs")

    assert shown.status_code == 200
    assert "make setup" in shown.text
