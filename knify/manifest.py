"""A task's manifest: from what a user wrote to the request that a job is made of, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from knify import errors, manifestkeys, model, secretrefs, units
from knify.manifestkeys import SECTIONS, TOP, Problems

RESERVED: Final = ("stream",)  # what stands below /api/v1/tasks and is no task
MAX_NAME: Final = 200  # characters
MAX_LABELS: Final = 64
MAX_KEY: Final = 64  # characters of a label's key
MAX_VALUE: Final = 256  # characters of its value
MAX_SECRETS: Final = secretrefs.MOST
ID: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
NAME: Final = rf"[^\x00-\x1f\x7f]{{1,{MAX_NAME}}}"
_ID, _NAME = re.compile(ID), re.compile(NAME)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checked manifest with its defaults."""

    name: str
    task_id: str | None  # as its user wants to call it
    request: dict[str, Any]  # as `jobs.submit` takes it; what that checks is not checked yet


def read(written: Any) -> Manifest:
    """From JSON's values. InvalidManifest names all keys that are wrong."""
    top, problems = manifestkeys.checked("", TOP, written)
    found: dict[str, dict[str, Any]] = {}
    for section in SECTIONS:
        if section != "secrets" and isinstance(top.get(section, {}), dict):
            keys = SECTIONS[section]
            found[section], more = manifestkeys.checked(section, keys, top.get(section, {}))
            problems += more
    secrets, more = _secrets(top.get("secrets"))
    problems += more
    if isinstance(written, dict):
        problems += _missing(top, found)
        problems += _metadata(found.get("metadata", {}))
    if problems:
        raise invalid(problems)
    if secrets:
        found["secrets"] = {"secrets": secrets}
    return _manifest(top, found)


def invalid(problems: Problems) -> errors.InvalidManifest:
    """The first complaint in words, and some of the others beside it."""
    field, words = problems[0]
    detail: dict[str, Any] = {"field": field}
    if len(problems) > 1:
        detail["problems"] = [
            {"field": f, "message": w} for f, w in problems[: manifestkeys.MAX_PROBLEMS]
        ]
    return errors.InvalidManifest(f"{field}: {words}" if field else words, detail=detail)


def _missing(top: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]) -> Problems:
    problems = [(name, f'must be "{TOP[name].only}"') for name in ("version", "kind")]
    problems = [(name, words) for name, words in problems if name not in top]
    if "name" not in found.get("metadata", {}):
        problems.append(("metadata.name", "is missing: call the task something"))
    if ("claude" in top) == ("agent" in top):
        problems.append(("claude", "give claude or agent: who does it, and what"))
    elif "claude" in top and "repository" not in top:
        problems.append(("repository", "is missing; only with agent it may be"))
    elif "agent" in top and "type" not in found.get("agent", {}):
        words = f"is missing: one of {', '.join(manifestkeys.AGENTS)}"
        problems.append(("agent.type", words))
    if "repository" in top and "url" not in found.get("repository", {}):
        problems.append(("repository.url", "is missing"))
    return problems


def _metadata(metadata: Mapping[str, Any]) -> Problems:
    problems = []
    task_id, name, labels = (metadata.get(key) for key in ("id", "name", "labels"))
    for key in ("id", "parent_id"):
        if isinstance(metadata.get(key), str) and not _ID.fullmatch(metadata[key]):
            words = "has 1 to 128 letters, digits and ._- only, the first a letter or digit"
            problems.append((f"metadata.{key}", words))
    if task_id in RESERVED:
        problems.append(("metadata.id", "is a path of its own: choose another"))
    if isinstance(name, str) and not _NAME.fullmatch(name):
        words = f"has 1 to {MAX_NAME} characters, without line breaks"
        problems.append(("metadata.name", words))
    return problems + (_labels(labels) if isinstance(labels, dict) else [])


def _labels(labels: Mapping[str, Any]) -> Problems:
    if len(labels) > MAX_LABELS:
        return [("metadata.labels", f"at most {MAX_LABELS} labels")]
    problems = []
    for key, value in labels.items():
        where = f"metadata.labels.{key[:100]}"
        if not 0 < len(key) <= MAX_KEY:
            problems.append((where, f"a key has 1 to {MAX_KEY} characters"))
        elif not isinstance(value, str | int | float):  # also booleans
            problems.append((where, "must be text, a number, true or false"))
        elif isinstance(value, str) and len(value) > MAX_VALUE:
            problems.append((where, f"a value has at most {MAX_VALUE} characters"))
    return problems


def _secrets(written: Any) -> tuple[list[dict[str, Any]], Problems]:
    """Types and names only: what they mean is for whoever reads the request."""
    if not isinstance(written, list):
        return [], []
    if len(written) > MAX_SECRETS:
        return [], [("secrets", f"at most {MAX_SECRETS} secrets")]
    found, problems = [], []
    for n, one in enumerate(written):
        secret, more = manifestkeys.checked(f"secrets.{n}", SECTIONS["secrets"], one)
        missing = [key for key in SECTIONS["secrets"] if key not in secret]
        more += [(f"secrets.{n}.{key}", "is missing") for key in missing if not more]
        problems += more
        found.append(secret)
    return found, problems


def _manifest(top: Mapping[str, Any], found: dict[str, dict[str, Any]]) -> Manifest:
    metadata = found["metadata"]
    request: dict[str, Any] = {"job_type": "claude_task"} if "claude" in top else {}
    for section in manifestkeys.FLAT:
        if section in ("claude", "agent") and section not in top:
            continue
        for name, key in SECTIONS[section].items():
            value = found[section].get(name, key.default)
            if value is not None and not key.is_ours:
                request[key.into or name] = value
    if "agent" in top:
        request["job_type"] += "_task"
    request |= {name: found[name] for name in ("repository", "children") if name in top}
    if "secrets" in found:
        request |= found["secrets"]
    return Manifest(metadata["name"], metadata.get("id"), request)


def definition(x: model.Execution) -> dict[str, Any]:
    """The manifest of a task with all its defaults, such that it can be submitted again.

    Resources that were not written are what it was given.
    """
    request = _given(x.spec.resources) | x.request
    agent = "claude" if _is_claude(request) else "agent"
    shown: dict[str, Any] = {"version": "1", "kind": "Task"}
    for section in ("metadata", "repository", agent, "vm", "secrets", "lifecycle", "children"):
        is_flat = section in manifestkeys.FLAT
        value: Any = _section(section, request) if is_flat else request.get(section)
        if section == "metadata":
            value = {"id": x.task_id, "name": x.name} | value
        if value:
            shown[section] = value
    return shown


def _given(resources: model.Resources) -> dict[str, Any]:
    cpus = int(resources.cpus) if resources.cpus.is_integer() else resources.cpus
    sizes = {"memory": resources.memory, "disk": resources.disk}
    return {"cpus": cpus, **{name: units.write_size(size) for name, size in sizes.items()}}


def _section(section: str, request: Mapping[str, Any]) -> dict[str, Any]:
    shown = {}
    for name, key in SECTIONS[section].items():
        value = key.default if key.is_ours else request.get(key.into or name)
        if value is not None:
            shown[name] = value.removesuffix("_task") if key.into == "job_type" else value
    return shown


def place(request: Mapping[str, Any], field: str) -> str:
    """Where in the manifest a field of the request stands: `spec.cpus` is `vm.cpus`."""
    name, _, rest = field.removeprefix("spec.").partition(".")
    agent = "claude" if _is_claude(request) else "agent"
    for section in ("vm", "lifecycle", agent, "metadata"):
        for key, known in SECTIONS[section].items():
            if not known.is_ours and (known.into or key) == name:
                return f"{section}.{key}" + (f".{rest}" if rest else "")
    return agent if name == "job_type" else field.removeprefix("spec.")


def _is_claude(request: Mapping[str, Any]) -> bool:
    return request["job_type"] == "claude_task" and "repository" in request
