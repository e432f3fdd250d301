"""Which failpoints the scripted run kills processes at, and which it cannot come to."""

from __future__ import annotations

from collections.abc import Iterator

from knify import failpoints

#: Steps of a submitter, and the order that comes to each if not the very first ones do.
SUBMITTERS = {
    "script.submit": "submit",
    "script.cancel": "cancel",
    "script.add_workspace": "upload",
    "script.drop_workspace": "upload",
    "script.retire_sandbox": "clean",
    "script.drain": "drain",
    "script.expire": "forget",
    "script.forget": "forget",
    "script.delete": "delete",
    **dict.fromkeys(("script.put_definition", "script.take_due", "script.fire"), "schedule"),
    **dict.fromkeys(("script.take_retries", "script.drop_retry"), "schedule"),
    **dict.fromkeys(("script.drop_definition", "script.forget_definition"), "drop"),
    **dict.fromkeys(("script.page", "script.match", "script.rows"), "list"),
    **dict.fromkeys(("script.add_webhook", "script.change_webhook", "script.drop_webhook"), "hook"),
    **dict.fromkeys(("script.test_webhook", "script.redeliver"), "hook"),
    **dict.fromkeys(("script.add_key", "script.rotate_key", "script.revoke_key"), "keys"),
    **dict.fromkeys(("script.put_secret", "script.drop_secret"), "secret"),
    **dict.fromkeys(("script.used_keys", "script.replay_begin", "script.replay_end"), "keys"),
}
#: Of them, those that workers take, too: the sweep goes on with what was begun.
_SHARED = ("script.retire_sandbox", "script.forget")
#: Points that this run does not come to, and why.
OUT_OF_REACH = {
    "script.lose": "its node would have to be silent for KNIFY_NODE_LOST_SECONDS",
    "script.set_network": "no jobs with a way out there",
    "script.add_usage": "the gateway's, whose process is killed as a whole",
    "script.tell": "likewise",
    "script.lose_sandbox": "the scripted host loses containers, but never volumes",
    "script.rescue": "only after a rollback of Redis",
    "driver.put_tar": "only when a worker dies between a sandbox's making and its turn",
    "script.sample": "the scripted host's containers have no cgroup",
    "script.index": "only in an upgrade of the store",
    "script.count_uses": "only in an upgrade of the store",
}
#: Kinds of jobs by words of the points that only they come to.
_KINDS = {"seed": "mount", "cache": "mount", "put_file": "book", "signal": "hang"}


def of_workers() -> list[str]:
    """`step:before` and `step:after` of every step that a worker takes."""
    return [f"{name}:{when}" for name, when in _each() if name not in SUBMITTERS or name in _SHARED]


def of_submitters() -> list[str]:
    """Likewise."""
    return [f"{name}:{when}" for name, when in _each() if name in SUBMITTERS]


def order_for(point: str) -> str:
    """The order that comes to a submitter's point; empty for no point."""
    return SUBMITTERS.get(point.partition(":")[0], "")


def kinds_for(alive: list[str]) -> list[str]:
    """The kinds of jobs that come to points of workers."""
    return [kind for word, kind in _KINDS.items() for point in alive if word in point]


def _each() -> Iterator[tuple[str, str]]:
    names = [name for name in failpoints.names() if name not in OUT_OF_REACH]
    return ((name, when) for name in names for when in ("before", "after"))
