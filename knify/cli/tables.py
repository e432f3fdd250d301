"""Tables that fit a terminal: what one reads a table for is never cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_NARROWEST = 8  # columns that a cut cell keeps at least
_GAP = 2  # between two columns


@dataclass(frozen=True, slots=True)
class Cells:
    """Cleaned texts below their heads."""

    heads: tuple[str, ...]
    rows: list[list[str]]
    flexible: tuple[str, ...]  # these may be cut

    def lines(self, stream: TextIO, lesser: Sequence[str], below: str | None) -> Iterator[str]:
        """The table, as wide as the stream's terminal; in a pipe as wide as it is."""
        console = Console(file=stream, markup=False, emoji=False, highlight=False)
        width = console.width if stream.isatty() else 10_000
        shown, under = self, [""] * len(self.rows)
        if below is not None and self._needs(whole=True) > width:
            place = self.heads.index(below)
            shown, under = self.without(below), [row[place] for row in self.rows]
        for name in lesser:
            if shown._needs() > width:
                shown = shown.without(name)
        head, *body = shown._drawn(console, max(width, shown._needs()))
        yield head
        for text, more in zip(body, under, strict=True):
            yield text
            if more:
                yield f"  {more}"

    def without(self, name: str) -> Cells:
        """The same without a column."""
        place = self.heads.index(name)
        rows = [[*row[:place], *row[place + 1 :]] for row in self.rows]
        heads = tuple(head for head in self.heads if head != name)
        return dataclasses.replace(self, heads=heads, rows=rows)

    def _needs(self, *, whole: bool = False) -> int:
        """Its width in columns of a terminal when all is cut that may be, or nothing."""
        columns = zip(self.heads, *self.rows, strict=True)
        widths = {column[0]: max(map(cell_len, column)) for column in columns}
        if not whole:
            for head in widths.keys() & set(self.flexible):
                widths[head] = min(widths[head], max(_NARROWEST, cell_len(head)))
        return sum(widths.values()) + _GAP * (len(widths) - 1)

    def _drawn(self, console: Console, width: int) -> Iterator[str]:
        made = Table(box=None, pad_edge=False, header_style="bold")
        for head in self.heads:
            made.add_column(head, no_wrap=head not in self.flexible, overflow="ellipsis")
        for row in self.rows:
            made.add_row(*(Text(text, overflow="ellipsis", no_wrap=True) for text in row))
        console.width = width
        with console.capture() as captured:
            console.print(made)
        return (text.rstrip() for text in captured.get().splitlines())
