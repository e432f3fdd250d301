"""`knify schedules create` and `change`: what a job is, in options."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from knify import definitions
from knify.cli import entry, jobs, request, schedules, show, specs

if TYPE_CHECKING:
    from knify.client import Client

#: Options that are fields of a job beside its spec.
_OF_DEFINITION: Final[specs.Options[Any]] = (
    click.option(
        "--cron", "schedule", help="Five fields, such as '30 4 * * 1-5'. Default: on demand."
    ),
    click.option("--timezone", help="Of the schedule, such as Europe/Berlin. Default: UTC."),
    click.option("--tag", "tags", multiple=True, help="Repeat it for several."),
    click.option(
        "--concurrency", "concurrency_policy", type=click.Choice(definitions.POLICIES),
        help="What a due time does while an earlier run goes on.",
    ),
    click.option(
        "--catch-up", type=click.Choice(definitions.CATCH_UPS),
        help="Which of the times that nobody was there for are made up for.",
    ),
    click.option(
        "--deadline", "starting_deadline_seconds", type=click.IntRange(1, 604_800),
        metavar="SECONDS", help="How late a run may be made.",
    ),
    click.option(
        "--jitter", "jitter_seconds", type=click.IntRange(0, 86_400), metavar="SECONDS",
        help="A moment within these behind each due time.",
    ),
    click.option(
        "--retries", type=click.IntRange(0, 10), help="How often a failed run is tried again."
    ),
    click.option(
        "--retry-backoff", "retry_backoff_seconds", type=click.IntRange(1, 3_600),
        metavar="SECONDS", help="Until the first retry; each further one after twice as long.",
    ),
    click.option(
        "--keep-succeeded", type=click.IntRange(0, 10_000), help="So many of its newest runs."
    ),
    click.option("--keep-failed", type=click.IntRange(0, 10_000), help="The same of failed ones."),
)  # fmt: skip
_ALL: Final = (specs.TYPE, specs.LONG_ENV, *specs.OF_SANDBOX, *specs.OF_JOB, *_OF_DEFINITION)
#: Fields that may stand beside `spec`, and are then changed alone.
_SHORT: Final = (
    *("image", "command", "env", "timeout", "cpus", "memory", "disk"),
    *("network_mode", "allowed_hosts"),
)


class _Defines(click.Command):
    """Its command's options are not its own: `create NAME ls -l`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What is no option of ours is the command's, unless it looks like a slip."""
        known = [name for param in self.params for name in param.opts if name.startswith("--")]
        for word in args if "--" not in args else ():
            name = word.partition("=")[0]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
            near = [one for one in near if not one.startswith(name) or len(one) - len(name) < 2]
            if name.startswith("--") and near and name not in known:
                cure = f"did you mean {near[0]}? Write -- before a COMMAND that has it"
                raise click.UsageError(f"No such option: {name}: {cure}", ctx)
        return super().parse_args(ctx, args)


_SETTINGS: Final = {"ignore_unknown_options": True, "help_option_names": ["--help"]}


@schedules.schedules.command(cls=_Defines, context_settings=_SETTINGS)
@click.argument("name")
@click.argument("command", nargs=-1, required=True)
@specs.options(*_ALL)
@schedules.where
@jobs.json_option
def create(
    name: str, command: tuple[str, ...], project: str, workspace: str, json_: bool, **given: Any
) -> None:
    """Define a job. One word of COMMAND is run by a shell, several as they are.

    With --type COMMAND is a prompt for that type, or @FILE.md, a file of this machine. Options of a
    command need no quotes, but those that are named like one of ours need -- before the command.
    """
    spec = _spec(command, given)
    body = {"name": name} | _of_definition(given)
    body |= spec if _is_short(spec) else {"spec": spec}
    body.pop("job_type", None)
    made = entry.client().create_project_job(project, body, workspace=workspace).raw
    if json_:
        return show.as_json(made)
    return show.facts({n: made.get(n) for n in ("id", "name", "schedule_description", "next_runs")})


@schedules.schedules.command(cls=_Defines, context_settings=_SETTINGS)
@schedules.job_argument
@click.argument("command", nargs=-1)
@click.option("--name", help="Another name.")
@specs.options(*_ALL)
@click.option(
    "--unset", multiple=True, metavar="OPTION",
    help="Take one back, such as cron, memory or secret; repeat it for more.",
)  # fmt: skip
@schedules.where
@jobs.json_option
def change(
    job: str, command: tuple[str, ...], name: str | None, unset: tuple[str, ...], project: str,
    workspace: str, json_: bool, **given: Any,
) -> None:  # fmt: skip
    """Change a job; what is not said stays. The next run is made by it.

    COMMAND, --env, --secret, --allow and --tag replace all that was there.
    """
    gone = [_field(one) for one in unset]
    body = _of_definition(given) | ({"name": name} if name else {})
    body |= {one: None for one in gone if one in _names(_OF_DEFINITION)}
    left = [one for one in gone if one not in body]
    is_other = given["job_type"] is not None
    fields = _spec(command, given) if command else specs.fields(given)
    if not is_other:
        fields.pop("job_type", None)
    if is_other and not command:
        raise click.UsageError("--type: say what it is to do, too: its prompt or command")
    if not (body or fields or left):
        raise click.UsageError("there is nothing to change: give an option or a command")
    client = entry.client()
    job_id = schedules.job_id_of(client, job, project, workspace)
    if is_other:
        body["spec"] = fields
    elif _is_short(fields) and set(left) <= set(_SHORT):
        body |= fields | dict.fromkeys(left)
    else:
        body["spec"] = _merged(client, project, job_id, workspace, fields, left)
    changed = client.change_project_job(project, job_id, body, workspace=workspace)
    jobs.done(changed.raw, f"{job} is changed", json_=json_)


def _spec(command: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    spec = request.spec(command[0], None, given, named=False)
    if len(command) > 1:
        if spec["job_type"] != "command_task":
            raise click.UsageError("a prompt is one argument: quote it")
        spec["command"] = list(command)
    return spec


def _merged(
    client: Client, project: str, job_id: str, workspace: str, fields: Mapping[str, Any],
    gone: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """The whole spec, since what stands in it alone is not changed alone."""
    spec = dict(client.project_job(project, job_id, workspace=workspace).spec)
    for one in gone:
        spec.pop(one, None)
    return {**spec, **fields}


def _of_definition(given: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: given.get(name) for name in _names(_OF_DEFINITION)}
    found["tags"] = list(found["tags"] or ()) or None
    return {name: value for name, value in found.items() if value is not None}


def _is_short(fields: Mapping[str, Any]) -> bool:
    kind = fields.get("job_type", "command_task")
    return kind == "command_task" and set(fields) <= {"job_type", *_SHORT}


def _names(options: specs.Options[Any]) -> dict[str, str]:
    """Fields of options, and what each is called on the command line."""
    command = click.Command("none")
    for option in options:
        option(command)
    return {p.name: p.opts[0].removeprefix("--") for p in command.params if p.name}


def _field(option: str) -> str:
    known = {called: name for name, called in _names(_ALL[1:]).items()}
    wanted = option.removeprefix("--")
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(sorted(known))}"
        raise click.UsageError(f"--unset: no option {wanted}: {hint}")
    return known[wanted]
