"""Declarations: what is wrong with one source is that source's own trouble."""

from __future__ import annotations

import pytest

from knify import errors
from knify.agents.exam import declared

GOOD = "{kind: csv, path: a.csv, user: u, time: t}"


def _read(yaml: str) -> list[dict[str, object]]:
    return declared.sources(declared.File("sources.yaml", yaml.encode()))


def test_a_source_has_the_fields_of_its_kind() -> None:
    assert _read(f"sources: {{a: {GOOD}}}") == [
        {"name": "a", "kind": "csv", "path": "a.csv", "user": "u", "time": "t"}
    ]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{kind: csv, user: u, time: t}", "csv needs path"),
        ("{kind: oracle, path: x, user: u, time: t}", "kind must be one of csv"),
        ("{kind: csv, path: a, user: u, time: t, table: x}", "table does not belong to csv"),
        ("{kind: csv, path: a, user: 7, time: t}", "user must be a text"),
        ("{kind: csv, path: a, user: u, time: t, unit: days}", "unit must be"),
        ("{kind: [a], path: a, user: u, time: t}", "kind must be one of"),
        ("just text", "must be a table"),
        ('{kind: csv, path: "a\\0b", user: u, time: t}', "path must be a text"),
    ],
)
def test_a_wrong_one_says_why_and_the_others_are_read(source: str, problem: str) -> None:
    wrong, right = _read(f"sources: {{bad: {source}, good: {GOOD}}}")

    assert problem in str(wrong["problem"])
    assert "problem" not in right


def test_a_name_is_a_word() -> None:
    (found,) = _read(f"sources: {{'a|<b>': {GOOD}}}")

    assert found["name"] == "_a__b_"
    assert "name" in str(found["problem"])


def test_what_the_operator_declares_cannot_be_replaced() -> None:
    operators = declared.File("KNIFY_SOURCES_FILE", f"sources: {{a: {GOOD}}}".encode())
    own = declared.File("sources.yaml", f"sources: {{a: {GOOD}, b: {GOOD}}}".encode())

    first, second = declared.sources(operators, own)

    assert "declared twice" in str(first["problem"])
    assert second["name"] == "b"


@pytest.mark.parametrize(
    "yaml", ["", "[]", "sources: []", "sources: {}", "a: 1", "sources: {a: 1, a: 2}", "{", "\0"]
)
def test_a_file_that_declares_nothing_is_refused(yaml: str) -> None:
    with pytest.raises(errors.BadRequest, match=r"sources\.yaml"):
        _read(yaml)


def test_a_file_that_is_too_large_is_not_read() -> None:
    with pytest.raises(errors.BadRequest, match="larger than 64 KiB"):
        _read("#" * 70_000)


@pytest.mark.parametrize("form", ["&a{n} [{many}]", "&a{n} {{<<: [{many}]}}"])
def test_aliases_are_refused_for_they_make_much_of_little(form: str) -> None:
    rows = ["a0: &a0 {x: y}"]
    for n in range(1, 12):
        rows.append(f"a{n}: " + form.format(n=n, many=", ".join([f"*a{n - 1}"] * 9)))

    with pytest.raises(errors.BadRequest, match="anchors"):
        _read("\n".join(rows) + f"\nsources: {{a: {GOOD}}}")


def test_a_key_that_is_no_word_is_a_mistake_of_the_file() -> None:
    with pytest.raises(errors.BadRequest, match=r"sources\.yaml"):
        _read("{? [[1]] : 1}")
