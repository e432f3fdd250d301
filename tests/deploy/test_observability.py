"""Dashboards and alerts ask for figures that there are; nothing is started but promtool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from api import shares
from api.metrics import families, meters
from knify import core, counters, errors, hints, settings

FOLDER = Path(__file__).resolve().parents[2] / "deploy"
BOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
RULES = FOLDER / "prometheus" / "rules.yml"
NAME = re.compile(r"\bknify_[a-z0-9_]+\b")
RECORD = re.compile(r"\bknify:[a-z0-9_:]+\b")


def exprs(board: Path) -> list[str]:
    panels = json.loads(board.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def rules() -> list[dict[str, Any]]:
    groups = YAML(typ="safe").load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture
def names(redis_url: str, home: Path) -> set[str]:
    """All that `/metrics` may hold, by the names of samples."""
    config = settings.load({"KNIFY_HOME": str(home), "KNIFY_REDIS_URL": redis_url})
    own = core.connect(config, hints.RecordedHints())
    own.store.registry.heartbeat("n1", {"slots": 4, "cpus": 1.0, "memory": 1, "disk": 1})
    streams = shares.Shares(1, 1, errors.StreamsBusy)
    registry: CollectorRegistry = meters.Meters(own, streams).registry
    found = set()
    for family in registry.collect():
        found |= (
            {family.name, f"{family.name}_total"} if family.type == "counter" else {family.name}
        )
        if family.type in ("histogram", "summary"):
            found |= {f"{family.name}_{end}" for end in ("bucket", "sum", "count")}
    return found


def test_dashboards_and_alerts_ask_for_nothing_that_there_is_not(names: set[str]) -> None:
    asked = {n for board in BOARDS for expr in exprs(board) for n in NAME.findall(expr)}
    asked |= {n for rule in rules() for n in NAME.findall(rule["expr"])}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {n for board in BOARDS for expr in exprs(board) for n in RECORD.findall(expr)}

    assert len(BOARDS) == 3
    assert asked <= names
    assert used <= recorded


def test_all_that_is_counted_is_shown(names: set[str]) -> None:
    shown = {n for board in BOARDS for expr in exprs(board) for n in NAME.findall(expr)}
    counted = {f"{name}_total" for name in counters.COUNTERS}
    counted |= {f"{name}_bucket" for name in counters.HISTOGRAMS}
    left_out = {"knify_webhook_attempt_time_seconds_total"}

    assert counted - left_out <= shown
    assert {name for name, _ in families._SIZES.values()} - {"knify_executions_open"} <= shown


def test_figures_of_the_whole_installation_are_never_added_up_over_processes() -> None:
    """Each API process tells them; only its own may be summed."""
    own = ("knify_http_", "knify_streams_open", "process_")
    for expr in [e for board in BOARDS for e in exprs(board)] + [r["expr"] for r in rules()]:
        for added in re.findall(
            r"\bsum(?: by \([^)]*\))? ?\(((?:rate|increase)?\(?[a-z_:]+)", expr
        ):
            name = added.removeprefix("rate(").removeprefix("increase(")
            assert name.startswith((*own, "max", "knify:", "histogram")) or name == "sum", expr


def test_names_are_prometheuss_own_conventions() -> None:
    for name, known in counters.COUNTERS.items():
        assert not name.endswith("_total")  # is added
        assert bool(known.label) == bool(known.values)
    for name in counters.HISTOGRAMS:
        assert name.endswith("_seconds")


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("info", "warning", "critical")
            assert set(rule["annotations"]) == {"summary", "action"}


def test_each_alert_is_seen_to_come() -> None:
    """By promtool, below: every one has a case in which it fires."""
    cases = YAML(typ="safe").load((RULES.parent / "rules_test.yml").read_text())["tests"]
    fired = {
        one["alertname"] for case in cases for one in case["alert_rule_test"] if one["exp_alerts"]
    }

    assert fired == {rule["alert"] for rule in rules() if "alert" in rule}


@pytest.mark.slow
def test_promtool_takes_the_rules_and_their_alerts_come_when_they_should() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian's package prometheus)")
    for words in (("check", "rules", str(RULES)), ("test", "rules", "rules_test.yml")):
        done = subprocess.run(
            [promtool, *words], cwd=RULES.parent, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)
def test_a_dashboard_is_one_that_grafana_takes(board: Path) -> None:
    told = json.loads(board.read_text())

    assert told["uid"] == board.stem
    assert len({panel["id"] for panel in told["panels"]}) == len(told["panels"])
    cells = set()
    for panel in told["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        taken = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        cells |= taken
        assert all(target["datasource"]["uid"] == "prometheus" for target in panel["targets"])
