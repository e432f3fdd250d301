"""`knify backup` and `knify restore`: a whole installation in one file, and back."""

from __future__ import annotations

from pathlib import Path

import click

from knify import errors, units
from knify.cli import entry, jobs, show, words

_FILE = click.Path(path_type=Path)
_passphrase = click.option(
    "--passphrase-file", type=_FILE, help="Holds the words that seal the master key; `-` asks."
)


@click.command()
@click.argument("to", type=_FILE)
@_passphrase
@click.option("--without-master-key", is_flag=True, help="Leave it out: you keep it elsewhere.")
@click.option(
    "--no-objects", is_flag=True, help="Records only; the object store is kept by itself."
)
@jobs.json_option
def backup(
    to: Path, passphrase_file: Path | None, without_master_key: bool, no_objects: bool, json_: bool
) -> None:
    """Write everything into a new file, or into the folder TO under a name of its own.

    Run it where KNIFY_HOME, KNIFY_REDIS_URL and KNIFY_OBJECT_STORE are those of the server,
    while it runs: jobs go on, and all is of one moment. Sandboxes that are not archived stay
    on their nodes.
    """
    if (passphrase_file is None) is not without_master_key:
        raise click.UsageError(
            "say what becomes of the master key, without which much of this opens no more: "
            "--passphrase-file FILE seals it into the backup, --without-master-key leaves it out"
        )
    settings, hints = entry.settings(), entry.later("knify.hints")
    core = entry.later("knify.core").connect(settings, hints.RecordedHints())
    try:
        saved = entry.later("knify.backup.save").save(
            core, to, passphrase=_words(passphrase_file, confirm=True), objects=not no_objects
        )
    except entry.later("redis").RedisError as failed:
        raise errors.ConfigError(f"Redis does not answer: {failed}") from failed
    if json_:
        told = {"path": str(saved.path), "size_bytes": saved.size, "objects": saved.objects}
        return show.as_json(told | {"missing_objects": saved.missing})
    found = words.count(saved.objects, "object")
    show.line(f"{saved.path}: {units.show_size(saved.size)}, {found}")
    if saved.missing:
        show.line(f"{words.count(saved.missing, 'object')} were deleted while it was made")
    if without_master_key:
        show.line(f"not in it: {settings.master_key_file}. Keep that file, apart from this one")
    return None


@click.command()
@click.argument("path", type=_FILE)
@_passphrase
@click.option("--replace", is_flag=True, help="Put it over what home and Redis hold.")
@jobs.json_option
def restore(path: Path, passphrase_file: Path | None, replace: bool, json_: bool) -> None:
    """Put a backup back. Stop Knify first; home, Redis and object store have to be empty.

    Everything is held against its checksum before anything is written.
    """
    settings = entry.settings()
    lock = settings.run_dir / "up.lock"
    if lock.exists() and entry.later("knify.up").is_running(lock):
        raise click.UsageError(f"knify up runs in {settings.home}: stop it first (Ctrl-C)")
    done = entry.later("knify.backup.restore").restore(
        settings, path, passphrase=_words(passphrase_file), replace=replace
    )
    if json_:
        told = {"installation": done.installation, "made_at": str(done.made_at)}
        return show.as_json(told | {"home": str(settings.home), "objects": done.objects})
    found = words.count(done.objects, "object")
    show.line(f"{done.installation} as of {done.made_at} is back in {settings.home}: {found}")
    return None


def _words(path: Path | None, *, confirm: bool = False) -> str | None:
    if path is None:
        return None
    if str(path) == "-":
        asked: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm)
        return asked
    try:
        found = path.read_text().strip("\r\n")
    except OSError as failed:
        raise errors.ConfigError(f"the passphrase cannot be read: {failed}") from failed
    if len(found) < 8:
        raise errors.ConfigError(f"the passphrase in {path} has fewer than 8 characters")
    return found
