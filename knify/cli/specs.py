"""Options that are fields of a job's spec: one home for `knify run` and `knify schedules`.

Each option's parameter is named like its field, so that an error about the field names the option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from knify import hosts, secretrefs
from knify import spec as spec_module
from knify.cli import words

F = TypeVar("F", bound=Callable[..., Any])
Options = tuple[Callable[[F], F], ...]

#: What belongs to a sandbox, and so to its first job.
OF_SANDBOX: Final[Options[Any]] = (
    click.option("--image", help="A sandbox image instead of the default."),
    click.option("--memory", help="Such as 512M or 8G."),
    click.option("--cpus", type=float, help="A share of cores, such as 0.5 or 4."),
    click.option("--disk", help="What its files may take, such as 1G."),
)
#: Of each job. `-e` is short for it where no command's own options may stand.
ENV: Final = click.option(
    "--env", "-e", multiple=True, metavar="NAME=VALUE", help="A variable; repeat it for more."
)
LONG_ENV: Final = click.option(
    "--env", multiple=True, metavar="NAME=VALUE", help="A variable; repeat it for more."
)
OF_JOB: Final[Options[Any]] = (
    click.option("--model", help="For a type that is an agent's."),
    click.option(
        "--secret", "secrets", multiple=True, metavar="NAME=SOURCE:KEY",
        help="A variable whose value nobody sees: SOURCE is env, file or vault (`knify secrets`).",
    ),
    click.option("--timeout", help="Such as 90s, 15m or 24h."),
    click.option("--hang-timeout", help="The same, of silence."),
    click.option(
        "--network", "network_mode", type=click.Choice(hosts.MODES),
        help="What it may reach: nothing, what --allow names, or any public host.",
    ),
    click.option(
        "--allow", "allowed_hosts", multiple=True, metavar="HOST[:PORT]",
        help="A host, or *.HOST, under --network outbound; repeat it for more.",
    ),
    click.option(
        "--max-tokens", type=click.IntRange(1), help="Of an agent's models: the job ends there."
    ),
    click.option("--max-cost-usd", type=float, help="The same in dollars."),
)  # fmt: skip
TYPE: Final = click.option(
    "--type", "job_type", type=click.Choice(spec_module.available()),
    help="Default: a command, or what the first argument is.",
)  # fmt: skip
#: Options that are fields as they stand.
_PLAIN: Final = (
    *("image", "memory", "cpus", "disk", "model", "timeout", "hang_timeout", "network_mode"),
    *("max_tokens", "max_cost_usd"),
)
#: The field that is the text of a type that has no prompt.
_TEXT: Final = {"command_task": "command", "user_exam": "user_id"}


def options(*given: Callable[[F], F]) -> Callable[[F], F]:
    """All of them on a command, in this order."""

    def decorate(command: F) -> F:
        for option in reversed(given):
            command = option(command)
        return command

    return decorate


def text_field(job_type: str) -> str:
    """What the text is that a job of this type is made of."""
    return _TEXT.get(job_type, "prompt")


def fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that were given, as fields of a spec. UsageError names the option."""
    made: dict[str, Any] = {n: given[n] for n in _PLAIN if given.get(n) is not None}
    if given.get("env"):
        made["env"] = words.pairs("--env", given["env"])
    if given.get("secrets"):
        made["secrets"] = [_secret(one) for one in given["secrets"]]
    if given.get("allowed_hosts"):
        made["allowed_hosts"] = list(given["allowed_hosts"])
        made.setdefault("network_mode", "outbound")
    return made


def _secret(text: str) -> dict[str, str]:
    name, _, reference = text.partition("=")
    source, _, key = reference.partition(":")
    if not (name and key) or source not in secretrefs.SOURCES:
        # What stands behind the name is not repeated: it may be the secret itself.
        sources = ", ".join(f"{one}:KEY" for one in secretrefs.SOURCES)
        raise click.UsageError(
            f"--secret {name[:40] or 'NAME'}: a secret is named, never written: "
            f"NAME=SOURCE:KEY, where that is one of {sources}"
        )
    return {"name": name, "source": source, "key": key}
