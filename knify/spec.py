"""What a job may ask for: the way from a request to a spec, by the table of `kinds`."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Mapping
from typing import Any, Final

from knify import catalog, fields, hosts, kinds, lifespans, model, options, secretrefs, subjects

JOB_TYPES: Final = kinds.JOB_TYPES
bad = fields.bad
_LATER: Final = "not available in this version"
MAX_PROMPT = 512 * 1024  # characters
MAX_ENV = 256  # variables
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._:/@-]{0,254}")
#: A browser in the sandbox.
NEAR: Final = r"(?:http|ws)://(?:127\.0\.0\.1|localhost)(?::[0-9]{1,5})?(?:/[A-Za-z0-9_./-]*)?"
#: What `metadata.priority` may say instead of a number.
_PRIORITIES: Final = {"low": -5, "normal": 0, "high": 5}


def available() -> list[str]:
    """The job types that this version has, sorted."""
    return sorted(JOB_TYPES)


def is_agent(job_type: str) -> bool:
    """Whether it is an agent that has conversations."""
    return job_type in JOB_TYPES and JOB_TYPES[job_type].is_agent


def image(job_type: str) -> str | None:
    """The recipe of the image that it gets unless it names one; None: the base image."""
    return JOB_TYPES[job_type].image if job_type in JOB_TYPES else None


def workspace(job_type: str) -> str | None:
    """The workspace that it starts from unless it names one; None: an empty folder."""
    return JOB_TYPES[job_type].workspace if job_type in JOB_TYPES else None


def credential(job_type: str) -> str | None:
    """The variable that its agent signs in with; None when it needs none."""
    return JOB_TYPES[job_type].credential if job_type in JOB_TYPES else None


def provider(job_type: str) -> str | None:
    """Whose models its agent asks through the gateway; None: nobody's."""
    return JOB_TYPES[job_type].provider if job_type in JOB_TYPES else None


def services(job_type: str) -> tuple[str, ...]:
    """What the gateway may have for it besides models."""
    return JOB_TYPES[job_type].services if job_type in JOB_TYPES else ()


def build(
    request: Mapping[str, Any],
    *,
    allowed_images: tuple[str, ...],
    models: catalog.Catalog = catalog.DOCUMENTED,
    resources: model.Resources | None = None,
) -> model.ExecutionSpec:
    """The spec that a request describes; its workspace is resolved elsewhere.

    `resources`: what it gets of them unless it says otherwise; None: what all get.
    `request` has the right JSON types already. Raises BadRequest whose detail names the field.
    """
    job_type = request["job_type"]
    known = _known(job_type, request)
    agent = _agent(known, request.get("agent"))
    actor = model.actor(job_type, agent)
    _check_led(known, agent, actor, request)
    return model.ExecutionSpec(
        job_type=job_type,
        prompt=_prompt(request.get("prompt")),
        model=_model(actor, request.get("model"), models),
        agent=agent,
        session_id=options.session(request.get("session_id"), is_uuid=known.has_uuids),
        command=_command(request.get("command")),
        user_id=subjects.user_id(request.get("user_id")),
        time_range=subjects.time_range(request.get("time_range")),
        image=_image(request.get("image"), allowed_images),
        env=_env(request.get("env") or {}, known, JOB_TYPES[actor].credential),
        secrets=secretrefs.read(
            request.get("secrets"), request.get("env") or {}, (JOB_TYPES[actor].credential,)
        ),
        profile=request.get("profile"),
        **lifespans.read(request),
        resources=fields.resources(request, resources),
        artifact_patterns=fields.patterns(request.get("artifact_patterns") or ()),
        **hosts.read(request, "spec"),
        priority=_priority(request),
        **options.of(request),
    )


def _known(job_type: str, request: Mapping[str, Any]) -> kinds.JobType:
    """The type: all fields belong to it, this version can do them, and none is missing."""
    known = JOB_TYPES.get(job_type)
    if known is None:
        near = difflib.get_close_matches(job_type[:64], available(), n=1)
        hint = f"did you mean {near[0]}? Use one of" if near else "use one of"
        names = ", ".join(available())
        raise bad("job_type", f"unknown job type {job_type!r}: {hint} {names}")
    written = set(request) - kinds.OF_TASKS
    for field in sorted(written - known.fields):
        close = difflib.get_close_matches(field, known.known, n=1)
        hint = (
            f"did you mean {close[0]}?" if close else f"it knows {', '.join(sorted(known.known))}"
        )
        raise bad(field, f"{field} does not belong to {job_type}: {hint}")
    for field in sorted(written - known.known):
        raise bad(field, f"{field}: {_LATER}")
    for field in sorted(known.required):
        value = request.get(field)
        if not value or (isinstance(value, str) and not value.strip()):
            raise bad(field, f"{job_type} needs {field}")
    return known


def _prompt(prompt: str | None) -> str | None:
    if prompt is not None and len(prompt) > MAX_PROMPT:
        raise bad("prompt", f"prompt is longer than {MAX_PROMPT} characters: put it into a file")
    if prompt is not None and "\0" in prompt:
        raise bad("prompt", "prompt must not hold NUL characters")
    return prompt


def _model(job_type: str, name: str | None, models: catalog.Catalog) -> str | None:
    served = models.of(job_type)
    if name is None or name in served:
        return served.get(name or "auto") or None
    raise bad("model", f"{job_type} has no model {name!r}; it serves {', '.join(sorted(served))}")


def agents(known: kinds.JobType) -> list[str]:
    """Who may have a part in a job of this type: first what stands for nobody."""
    found = [n.removesuffix("_task") for n in available() if is_agent(n)]
    return [known.nobody, *found] if known.led else []


def led(job_type: str, actor: str) -> frozenset[str]:
    """Of the agents' fields those that a job of this type takes when that agent follows it."""
    return JOB_TYPES[job_type].led & JOB_TYPES[actor].known if actor != job_type else frozenset()


def _check_led(
    known: kinds.JobType, agent: str | None, actor: str, request: Mapping[str, Any]
) -> None:
    for field in sorted(known.led & set(request) - led(request["job_type"], actor)):
        if agent in (None, known.nobody):
            raise bad(field, f"{field} is for an agent: name one in `agent`")
        raise bad(field, f"{field}: the agent {agent} has none in this version")


def _agent(known: kinds.JobType, name: str | None) -> str | None:
    if name is None or name in agents(known):
        return name
    raise bad("agent", f"agent {name[:40]!r}: this version has {', '.join(agents(known))}")


def _command(command: str | list[str] | None) -> tuple[str, ...] | None:
    if command is None:
        return None
    argv = ("sh", "-c", command) if isinstance(command, str) else tuple(command)
    if any("\0" in word for word in argv):
        raise bad("command", "command must not hold NUL characters")
    return argv


def tagged(image: str) -> str:
    """An image's name with its tag, as nodes list it."""
    named = ":" in image.rpartition("/")[2] or "@" in image
    return image if named else f"{image}:latest"


def _image(image: str | None, allowed: tuple[str, ...]) -> str | None:
    if image is None:
        return None
    if not _IMAGE.fullmatch(image):
        raise bad("image", "image must look like registry/name:tag")
    image = tagged(image)
    if not any(fnmatch.fnmatchcase(image, pattern) for pattern in allowed):
        raise bad("image", f"image {image} is not allowed here; allowed: {', '.join(allowed)}")
    return image


def _env(env: Mapping[str, str], known: kinds.JobType, credential: str | None) -> dict[str, str]:
    if credential in env:
        raise bad(f"env.{credential}", f"{credential} is the operator's: leave it out")
    own = env.get(kinds.BROWSER_URL)
    if kinds.BROWSER in known.services and own and not re.fullmatch(NEAR, own):
        raise bad(
            f"env.{kinds.BROWSER_URL}",
            f"{kinds.BROWSER_URL} is the operator's, and its token is not for sandboxes: leave it "
            "out for the operator's browser, or name one in the sandbox, http://127.0.0.1:PORT, or "
            "give an empty text for the image's own",
        )
    if len(env) > MAX_ENV:
        raise bad("env", f"env holds more than {MAX_ENV} variables")
    for name, value in env.items():
        if not _ENV_NAME.fullmatch(name):
            raise bad(f"env.{name}", "a variable's name has letters, digits and _ only")
        if "\0" in value:
            raise bad(f"env.{name}", "a variable's value must not hold NUL characters")
    return dict(env)


def _priority(request: Mapping[str, Any]) -> int:
    """The field itself, or else what the metadata say, as far as that is a priority."""
    written = request.get("priority")
    if written is None:
        said = (request.get("metadata") or {}).get("priority")
        number = _PRIORITIES.get(said, 0) if isinstance(said, str) else said
        return number if type(number) is int and -10 <= number <= 10 else 0
    if not -10 <= written <= 10:
        raise bad("priority", "priority must be between -10 and 10")
    return int(written)
