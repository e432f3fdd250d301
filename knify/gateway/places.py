"""Room for connections of sandboxes: so many on this node, of which each gets a fair share.

A connection may hold two descriptors and, when nobody reads at either end, all its buffers.
"""

from __future__ import annotations

import resource
from typing import Final

from knify.gateway import line as lines
from knify.host import size

MOST: Final = 4_096  # on one node
SHARE: Final = 512  # of one sandbox
LEAST: Final = 8  # that each may have, as long as there are any
#: Two ways, each with a buffer for reading, what is on its way, and one for writing.
BYTES: Final = 2 * 5 * lines.READ_BYTES
_OF_MEMORY: Final = 8  # part of the machine's that all of them may take
_FILES: Final = 512  # descriptors for everything else


class Places:
    """Counts them; lives in the event loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def take(self, mine: int) -> bool:
        """One more for a sandbox that has `mine`; False when there is none for it.

        Nobody gets more than half of what the others leave: one that takes all it can get
        leaves room for those who come later.
        """
        left = self.most - (self.taken - mine)
        if self.taken >= self.most or mine >= min(SHARE, max(LEAST, left // 2)):
            return False
        self.taken += 1
        return True

    def give_back(self) -> None:
        """One that was taken."""
        self.taken -= 1


def measured() -> Places:
    """What this machine can hold."""
    files = (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _FILES) // 2
    memory = size.memory() // _OF_MEMORY // BYTES
    return Places(max(LEAST, min(MOST, files, memory)))
