"""The installation's figures as Prometheus has them: names, words, labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from knify import counters
from knify.store import gauges

_SIZES: Final = {
    "due": ("knify_executions_open", "Jobs and tasks that have not ended."),
    "waiting": ("knify_queue_length", "Jobs that wait for room on any node."),
    "ended": ("knify_executions_unpacked", "Ended ones that still are in Redis as a whole."),
    "packed": ("knify_executions_packed", "Packed ones whose artifacts are gone."),
    "packed_files": ("knify_executions_packed_files", "Packed ones with their artifacts."),
    "expiring": ("knify_executions_expiring", "Those whose objects are being deleted."),
    "deleting": ("knify_executions_deleting", "Those that somebody wants to be gone."),
    "hints": ("knify_hints_waiting", "Messages to workers of any node that none took yet."),
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
    yield one(
        "knify_queue_age_seconds",
        "For how long the oldest of `knify_queue_length` has waited.",
        found.age,
    )
    yield one("knify_redis_memory_bytes", "What Redis has taken.", found.redis["used_memory"])
    yield one(
        "knify_redis_memory_limit_bytes",
        "What it may take; 0: as much as there is.",
        found.redis["maxmemory"],
    )
    yield from _counted(found.counts)
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
    yield _labelled(
        "knify_node_queue_age_seconds", "For how long the oldest of these has waited.", "node",
        {n.name: n.age for n in known},
    )  # fmt: skip
    yield _labelled(
        "knify_node_hints_waiting", "Messages to this node's workers that none took yet.", "node",
        {n.name: float(n.hints) for n in known},
    )  # fmt: skip
    for kind, (name, words) in _ROOM.items():
        offers = {n.name: n.offers[kind] for n in known if kind in n.offers}
        used = {n.name: n.used.get(kind, 0.0) for n in known}
        yield _labelled(name, words, "node", offers)
        yield _labelled(f"{name}_used", f"{words} What is taken.", "node", used)
    for kind, (name, words) in _OF_NODES.items():
        yield _labelled(name, words, "node", {n.name: n.sandboxes[kind] for n in known})


def _counted(counts: Mapping[str, float]) -> Iterator[Metric]:
    """What processes have counted, and 0 of what none has."""
    for name, known in counters.COUNTERS.items():
        values = dict(counters.split(counts, name))
        counter = CounterMetricFamily(
            name, known.words, labels=[known.label] if known.label else ()
        )
        for label in (*known.values, "other") if known.label else ("",):
            if label != "other" or label in values:
                counter.add_metric([label] if label else [], values.get(label, 0.0))
        yield counter
    for name, histogram in counters.HISTOGRAMS.items():
        values = dict(counters.split(counts, name))
        yield HistogramMetricFamily(
            name, histogram.words, buckets=_buckets(values, histogram.bounds),
            sum_value=values.get("sum", 0.0),
        )  # fmt: skip


def _buckets(values: Mapping[str, float], bounds: Iterable[float]) -> list[tuple[str, float]]:
    """Each with all that are below it, as Prometheus wants them."""
    total, found = 0.0, []
    for bound in (*(f"{bound:g}" for bound in bounds), "+Inf"):
        total += values.get(bound, 0.0)
        found.append((bound, total))
    return found


def _labelled(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    found = GaugeMetricFamily(name, words, labels=[label])
    for value, number in values.items():
        found.add_metric([value], number)
    return found
