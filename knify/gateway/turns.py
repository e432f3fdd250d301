"""Whose turn it is: of what comes from one sandbox, a little in each round of the event loop."""

from __future__ import annotations

import asyncio
from typing import Final

EVENTS: Final = 16  # of HTTP's that are read in one turn: about a millisecond


class Turns:
    """One sandbox's: of all its connections, one at a time.

    What is buffered already lets nobody else run, however much it is; and with a turn for each
    connection, hundreds of them would be as bad. So the others wait for one piece of each sandbox.
    """

    def __init__(self) -> None:
        self._one = asyncio.Lock()  # it serves in the order of asking

    async def next(self) -> None:
        """Returns when there was a round for everybody else."""
        async with self._one:
            await asyncio.sleep(0)
