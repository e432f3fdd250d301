"""The system, for those who run it: nodes, queue, speed, Redis, object store, what doctor found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import flask

from api import auth, context
from api.console import blueprint, plots
from knify import clock
from knify.core import Core
from knify.lifecycle import State
from knify.services import nodes
from knify.store import gauges
from knify.store.minutes import Minute

_MINUTE: Final = 60_000
SPANS: Final = {"1h": 60, "6h": 360, "24h": 1440}  # minutes
_ACTIONS: Final = {
    "drain": (nodes.drain, True, "{} drains: nothing new comes, what is idle is archived."),
    "undrain": (nodes.drain, False, "{} takes sandboxes again."),
    "cordon": (nodes.cordon, True, "{} is cordoned: nothing new comes."),
    "uncordon": (nodes.cordon, False, "{} takes sandboxes again."),
}


@blueprint.page("/system", needs=auth.OPERATOR)
def get_system() -> flask.Response:
    """How all of it stands, and how the last hours went."""
    core = context.core()
    span = flask.request.args.get("span", "1h")
    span = span if span in SPANS else "1h"
    found = core.store.meter.read()
    listed = nodes.listing(core)
    return blueprint.render(
        "system.html",
        span=span,
        spans=SPANS,
        parts=_parts(core),
        now=found.now,
        waiting=found.now[State.PENDING.value],
        running=sum(n for state, n in found.now.items() if state != State.PENDING),
        sizes=found.sizes,
        nodes=listed,
        room={node.name: node for node in found.nodes},
        checkups=core.store.checkups.of(node.name for node in listed),
        plots=drawn(core.store.minutes.read(SPANS[span]), clock.now_ms(), SPANS[span]),
        flower_url=core.settings.flower_url,
        percent=percent,
    )


@blueprint.page("/system/nodes/<name>/<action>", needs=auth.OPERATOR, methods=["POST"])
def post_node(name: str, action: str) -> flask.Response:
    """Drain or cordon a node, or undo that."""
    if action not in _ACTIONS:
        flask.abort(404)
    do, on, words = _ACTIONS[action]
    do(context.core(), name, on=on)
    return blueprint.go("/console/system", words.format(name))


def percent(node: gauges.OfNode, kind: str) -> int | None:
    """How much of a node's room is promised; None where it does not say."""
    offers = node.offers.get(kind)
    if not offers:
        return None
    return min(100, round(100 * node.used.get(kind, 0.0) / offers))


def drawn(minutes: Sequence[Minute], end: int, span: int) -> list[plots.Plot]:
    """What the page draws of the last `span` minutes."""
    start = end - span * _MINUTE

    def plot(title: str, unit: str, **series: list[tuple[int, float | None]]) -> plots.Plot:
        known = {
            name: [(at, value) for at, value in points if value is not None and at >= start]
            for name, points in series.items()
        }
        return plots.Plot(title, unit, known, start, end, gap=3 * _MINUTE)

    def over(look: Callable[[Minute], float | None]) -> list[tuple[int, float | None]]:
        return [(minute.at, look(minute)) for minute in minutes]

    return [
        plot(
            "Jobs ended per minute", "count",
            completed=over(lambda m: m.ended["completed"]),
            failed=over(lambda m: m.ended["failed"] + m.ended["failed_preserved"]),
            cancelled=over(lambda m: m.ended["cancelled"]),
        ),
        plot(
            "Waiting and running", "count",
            waiting=over(lambda m: m.waiting), running=over(lambda m: m.running),
        ),
        plot("Wait for a worker, mean", "seconds", wait=over(lambda m: m.wait_seconds)),
        plot("Time of a run, mean", "seconds", run=over(lambda m: m.run_seconds)),
    ]  # fmt: skip


def _parts(core: Core) -> list[dict[str, str]]:
    """Redis and the object store: whether they answer, and what they are."""
    began = time.monotonic()
    info: Mapping[str, Any] = core.store.client.info()
    ms = (time.monotonic() - began) * 1000
    name = info.get("server_name") or "redis"
    version = info.get("valkey_version") or info.get("redis_version", "")
    saved = "appended to disk" if info.get("aof_enabled") else "not appended to disk"
    objects = context.objects().look()
    kind = core.settings.object_store.split("://")[0]
    return [
        {
            "name": f"{str(name).capitalize()} {version}",
            "level": "ok" if info.get("aof_enabled") else "warning",
            "text": f"{info.get('used_memory_human', '')} · {saved} · {ms:.1f} ms",
        },
        {
            "name": "Object store",
            "level": "ok" if objects == "ok" else "failure",
            "text": f"{'a folder' if kind == 'file' else kind} · {objects}",
        },
    ]
