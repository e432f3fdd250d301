"""docs/settings.md says what the code reads, no more and no less."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from knify import errors, settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "settings.md").read_text()
NAME = re.compile(r"\bKNIFY_[A-Z0-9_]*[A-Z0-9]\b")
_FUTURE = "from __future__ import annotations\n"
SOURCES = ("knify", "api", "workers", "deploy", "Makefile")


def test_the_table_names_every_setting_and_no_other() -> None:
    assert [name for name, _, _ in _rows("The table")] == _fields()


def test_every_field_of_settings_is_read_once_under_its_own_name() -> None:
    assert sorted(_fields()) == sorted(name for name, _ in _read())


def test_the_table_shows_the_defaults_that_the_code_has() -> None:
    shown = {name: default for name, default, _ in _rows("The table")}

    for name, default in _read():
        if default not in (None, ""):
            assert f"`{_as_text(default)}`" in shown[name], name


def test_every_variable_of_ours_in_the_code_is_in_the_page_and_vice_versa() -> None:
    named = {name for text in _texts() for name in NAME.findall(text)}
    known = named | {name for name, _ in _read()}

    assert known == set(NAME.findall(PAGE))


def _rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, names without their quotes."""
    part = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [[row[0].strip("`"), *row[1:]] for row in rows]


def _fields() -> list[str]:
    return [f"KNIFY_{field.name.upper()}" for field in dataclasses.fields(settings.Settings)]


def _read() -> list[tuple[str, object]]:
    """What the code asks the environment for, with defaults that are plain values."""
    sources = [(ROOT / "knify" / name).read_text() for name in ("settings.py", "settinggroups.py")]
    tree = ast.parse("\n".join(source.replace(_FUTURE, "") for source in sources))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    plain = [call for call in calls if ast.unparse(call.func).startswith("env.")]
    plain = [call for call in plain if isinstance(call.args[0], ast.Constant)]
    richer = [call for call in calls if ast.unparse(call.func).startswith("variables.")]
    asked = [c.args for c in plain if c.args[0].value != ".env"] + [c.args[1:] for c in richer]
    return [(f"KNIFY_{ast.literal_eval(name)}", _plain(*rest)) for name, *rest in asked]


def _plain(default: ast.expr | None = None) -> object:
    """A literal's or a product's value; None where there is none or it depends on the machine."""
    if default is None or any(isinstance(node, ast.Name) for node in ast.walk(default)):
        return None
    return eval(ast.unparse(default), {"__builtins__": {}})


def _as_text(default: object) -> str:
    if isinstance(default, list):
        return ",".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def _texts() -> Iterator[str]:
    for source in SOURCES:
        place = ROOT / source
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and not {"__pycache__", "assets", "node_modules"} & set(path.parts):
                yield path.read_text()


@pytest.mark.parametrize(
    "name", ["ARTIFACT_BYTES", "MAX_BODY_BYTES", "OUTPUT_BYTES", "OUTPUT_TAIL_BYTES"]
)
def test_bytes_are_written_as_sizes_are(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for text, size in (("100M", 100 * 1024**2), ("2048", 2048)):
        monkeypatch.setenv(f"KNIFY_{name}", text)
        assert getattr(settings.load(), name.lower()) == size
    for wrong in ("1", "2000T", "many"):
        monkeypatch.setenv(f"KNIFY_{name}", wrong)
        with pytest.raises(errors.ConfigError, match=f"KNIFY_{name}"):
            settings.load()
