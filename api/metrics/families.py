"""The installation's figures as Prometheus has them: names, words, labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from knify.store import gauges

_SIZES: Final = {
    "due": ("knify_executions_open", "Jobs and tasks that have not ended."),
    "waiting": ("knify_queue_length", "Jobs that wait for room on any node."),
    "ended": ("knify_executions_unpacked", "Ended ones that still are in Redis as a whole."),
    "packed": ("knify_executions_packed", "Packed ones whose artifacts are gone."),
    "packed_files": ("knify_executions_packed_files", "Packed ones with their artifacts."),
    "expiring": ("knify_executions_expiring", "Those whose objects are being deleted."),
    "deleting": ("knify_executions_deleting", "Those that somebody wants to be gone."),
    "idle": ("knify_sandboxes_idle", "Sandboxes without turns: paused, archived or lost."),
    "removals": ("knify_objects_removals", "Objects that are to be deleted."),
    "webhooks_due": (
        "knify_webhooks_due",
        "Webhooks that have something to deliver or to wait for.",
    ),
    "webhooks_ill": ("knify_webhooks_ill", "The same of those whose attempts fail."),
}
_ROOM: Final = {
    "slots": ("knify_node_slots", "Jobs that may be under way."),
    "cpus": ("knify_node_cpus", "Cores, with what may be overcommitted."),
    "memory": ("knify_node_memory_bytes", "Memory for jobs."),
    "disk": ("knify_node_disk_bytes", "Disk for jobs."),
}
_OF_NODES: Final = {
    "located": ("knify_node_sandboxes", "Sandboxes that live there."),
    "paused": ("knify_node_sandboxes_paused", "Idle ones among them, hot ones too."),
    "hot": ("knify_node_sandboxes_hot", "Those whose container is frozen, not stopped."),
    "removals": ("knify_node_sandboxes_removals", "Sandboxes whose rest is to be removed there."),
}


def one(name: str, words: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(name, words, value=value)


def of(found: gauges.Gauges) -> Iterator[Metric]:
    """All of the installation's."""
    yield from _states(found)
    for key, (name, words) in _SIZES.items():
        yield one(name, words, found.sizes[key])
    yield from _nodes(found.nodes)


def _states(found: gauges.Gauges) -> Iterator[Metric]:
    yield _labelled("knify_executions", "Jobs and tasks by state.", "state", found.now)
    came = CounterMetricFamily(
        "knify_executions_entered", "How many ever came into a state.", labels=["state"]
    )
    for state, count in found.came.items():
        came.add_metric([state], count)
    yield came
    times = SummaryMetricFamily(
        "knify_state_seconds", "How long those that left a state had been in it.", labels=["state"]
    )
    for state, count in found.left.items():
        times.add_metric([state], count_value=int(count), sum_value=found.seconds[state])
    yield times


def _nodes(nodes: Iterable[gauges.OfNode]) -> Iterator[Metric]:
    known = list(nodes)
    yield _labelled(
        "knify_node_up", "Whether a node beats.", "node", {n.name: float(n.lives) for n in known}
    )
    yield _labelled(
        "knify_node_draining", "Whether it takes no new sandbox.", "node",
        {n.name: float(n.drains) for n in known},
    )  # fmt: skip
    yield _labelled(
        "knify_node_queue_length", "Jobs that wait for room on this node.", "node",
        {n.name: float(n.waiting) for n in known},
    )  # fmt: skip
    for kind, (name, words) in _ROOM.items():
        offers = {n.name: n.offers[kind] for n in known if kind in n.offers}
        used = {n.name: n.used.get(kind, 0.0) for n in known}
        yield _labelled(name, words, "node", offers)
        yield _labelled(f"{name}_used", f"{words} What is taken.", "node", used)
    for kind, (name, words) in _OF_NODES.items():
        yield _labelled(name, words, "node", {n.name: n.sandboxes[kind] for n in known})


def _labelled(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    found = GaugeMetricFamily(name, words, labels=[label])
    for value, number in values.items():
        found.add_metric([value], number)
    return found
