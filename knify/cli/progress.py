"""How far an upload or a download is: a bar on stderr, only where somebody looks at it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TypeAlias

from knify.cli import show

#: Hears of bytes that are done, and of how many in all where that is known.
Progress: TypeAlias = Callable[[int, int | None], None]


@contextlib.contextmanager
def bar(what: str) -> Iterator[Progress | None]:
    """A bar with this title until the end of the block; None where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import (
        Progress as Bar,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    with Bar(*columns, console=console, transient=True) as shown:
        task = shown.add_task(_title(what), total=None)

        def heard(done: int, total: int | None) -> None:
            shown.update(task, completed=done, total=total)

        yield heard


def _title(what: str) -> str:
    """The end of a long path says more than its beginning."""
    text = show.clean(what).replace("\t", " ")
    return text if len(text) <= 30 else f"…{text[-29:]}"
