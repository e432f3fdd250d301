"""What a job may ask for: one table of fields per type, and the way from a request to a spec."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from knify import errors, model, units

#: Fields that every job type knows.
COMMON: Final = frozenset(
    {
        "job_type",
        "workspace_path",
        "image",
        "env",
        "metadata",
        "timeout",
        "hang_timeout",
        "network_mode",
        "cpus",
        "memory",
        "disk",
        "artifact_patterns",
        "priority",
    }
)


@dataclass(frozen=True, slots=True)
class JobType:
    """What one job type needs and knows besides COMMON."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()

    @property
    def fields(self) -> frozenset[str]:
        """All fields that a spec of this type may hold."""
        return COMMON | self.required | self.optional


#: The table: which field belongs to which type. A field of another type is refused.
JOB_TYPES: Final[dict[str, JobType]] = {
    "command_task": JobType(required=frozenset({"command"})),
    "runbook_task": JobType(required=frozenset({"prompt"})),
}

MAX_PROMPT = 512 * 1024  # characters
MAX_ENV = 256  # variables
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._:/@-]{0,254}")
_MIN_MEMORY = 16 * 1024**2


def build(request: Mapping[str, Any], *, allowed_images: tuple[str, ...]) -> model.ExecutionSpec:
    """The spec that a request describes; its workspace is resolved elsewhere.

    `request` has the right JSON types already. Raises BadRequest whose detail names the field.
    """
    job_type = request["job_type"]
    known = JOB_TYPES.get(job_type)
    if known is None:
        raise bad("job_type", f"unknown job type {job_type!r}: use one of {_names(JOB_TYPES)}")
    for field in sorted(set(request) - known.fields):
        raise bad(field, f"{field} does not belong to {job_type}; it knows {_names(known.fields)}")
    for field in sorted(known.required):
        if not request.get(field):
            raise bad(field, f"{job_type} needs {field}")
    return model.ExecutionSpec(
        job_type=job_type,
        prompt=_prompt(request.get("prompt")),
        command=_command(request.get("command")),
        image=_image(request.get("image"), allowed_images),
        env=_env(request.get("env") or {}),
        timeout=_parsed(request, "timeout", units.parse_duration, 86_400.0),
        hang_timeout=_parsed(request, "hang_timeout", units.parse_duration, None),
        resources=_resources(request),
        artifact_patterns=_patterns(request.get("artifact_patterns") or ()),
        network_mode=_network(request.get("network_mode", "isolated")),
        priority=_priority(request.get("priority", 0)),
    )


def bad(field: str, message: str) -> errors.BadRequest:
    """A complaint about one field of `spec`."""
    return errors.BadRequest(message, detail={"field": f"spec.{field}"})


def _names(names: Mapping[str, Any] | frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _parsed(
    request: Mapping[str, Any], field: str, parse: Callable[[Any], Any], default: Any
) -> Any:
    value = request.get(field)
    if value is None:
        return default
    try:
        return parse(value)
    except ValueError as failed:
        raise bad(field, f"{field}: {failed}") from failed


def _prompt(prompt: str | None) -> str | None:
    if prompt is not None and len(prompt) > MAX_PROMPT:
        raise bad("prompt", f"prompt is longer than {MAX_PROMPT} characters: put it into a file")
    return prompt


def _command(command: str | list[str] | None) -> tuple[str, ...] | None:
    if command is None:
        return None
    argv = ("sh", "-c", command) if isinstance(command, str) else tuple(command)
    if any("\0" in word for word in argv):
        raise bad("command", "command must not hold NUL characters")
    return argv


def _image(image: str | None, allowed: tuple[str, ...]) -> str | None:
    if image is None:
        return None
    if not _IMAGE.fullmatch(image):
        raise bad("image", "image must look like registry/name:tag")
    if ":" not in image.rpartition("/")[2] and "@" not in image:
        image += ":latest"
    if not any(fnmatch.fnmatchcase(image, pattern) for pattern in allowed):
        raise bad("image", f"image {image} is not allowed here; allowed: {', '.join(allowed)}")
    return image


def _env(env: Mapping[str, str]) -> dict[str, str]:
    if len(env) > MAX_ENV:
        raise bad("env", f"env holds more than {MAX_ENV} variables")
    for name, value in env.items():
        if not _ENV_NAME.fullmatch(name):
            raise bad(f"env.{name}", "a variable's name has letters, digits and _ only")
        if "\0" in value:
            raise bad(f"env.{name}", "a variable's value must not hold NUL characters")
    return dict(env)


def _resources(request: Mapping[str, Any]) -> model.Resources:
    default = model.Resources()
    cpus = _parsed(request, "cpus", units.parse_number, default.cpus)
    memory = _parsed(request, "memory", units.parse_size, default.memory)
    disk = _parsed(request, "disk", units.parse_size, default.disk)
    if not 0.01 <= cpus <= 1024:
        raise bad("cpus", "cpus must be between 0.01 and 1024")
    if not _MIN_MEMORY <= memory <= 2**50:
        raise bad("memory", "memory must be between 16M and 1024T")
    if not 1024**2 <= disk <= 2**50:
        raise bad("disk", "disk must be between 1M and 1024T")
    return model.Resources(cpus=cpus, memory=memory, disk=disk)


def _patterns(patterns: list[str] | tuple[()]) -> tuple[str, ...]:
    for n, pattern in enumerate(patterns):
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            raise bad(f"artifact_patterns.{n}", "a pattern is relative to /workspace, without ..")
    return tuple(patterns)


def _network(mode: str) -> str:
    if mode != "isolated":
        raise bad("network_mode", f"network_mode {mode!r} is not available: use isolated")
    return mode


def _priority(priority: int) -> int:
    if not -10 <= priority <= 10:
        raise bad("priority", "priority must be between -10 and 10")
    return priority
