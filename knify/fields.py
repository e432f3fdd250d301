"""Fields of a spec that many job types have, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from knify import errors, model, units

MAX_PATTERNS: Final = 100
MAX_PATTERN: Final = 256  # characters
_MIN_MEMORY: Final = 16 * 1024**2


def bad(field: str, message: str) -> errors.BadRequest:
    """A complaint about one field of `spec`."""
    return errors.BadRequest(message, detail={"field": f"spec.{field}"})


def parsed(
    request: Mapping[str, Any], field: str, parse: Callable[[Any], Any], default: Any
) -> Any:
    """What the field says, or the default. BadRequest."""
    value = request.get(field)
    if value is None:
        return default
    try:
        return parse(value)
    except ValueError as failed:
        raise bad(field, f"{field}: {failed}") from failed


def resources(
    request: Mapping[str, Any], default: model.Resources | None = None
) -> model.Resources:
    """How much it may take; what is not written is as in `default`. BadRequest."""
    default = default or model.Resources()
    cpus = parsed(request, "cpus", units.parse_number, default.cpus)
    memory = parsed(request, "memory", units.parse_size, default.memory)
    disk = parsed(request, "disk", units.parse_size, default.disk)
    if not 0.01 <= cpus <= 1024:
        raise bad("cpus", "cpus must be between 0.01 and 1024")
    if not _MIN_MEMORY <= memory <= 2**50:
        raise bad("memory", "memory must be between 16M and 1024T")
    if not 1024**2 <= disk <= 2**50:
        raise bad("disk", "disk must be between 1M and 1024T")
    return model.Resources(cpus=cpus, memory=memory, disk=disk)


def patterns(written: list[str] | tuple[()]) -> tuple[str, ...]:
    """Which files are artifacts. BadRequest."""
    if len(written) > MAX_PATTERNS:
        raise bad("artifact_patterns", f"artifact_patterns holds more than {MAX_PATTERNS} patterns")
    for n, pattern in enumerate(written):
        if len(pattern) > MAX_PATTERN:
            raise bad(f"artifact_patterns.{n}", f"a pattern has at most {MAX_PATTERN} characters")
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            raise bad(f"artifact_patterns.{n}", "a pattern is relative to /workspace, without ..")
    return tuple(written)
