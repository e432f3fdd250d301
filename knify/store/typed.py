"""What is typed into running commands, on its way to their nodes: bounded, and each word once."""

from __future__ import annotations

from knify.store.redis import Client, Scripts

#: Words that may wait for a node, each of a few KiB at most.
MOST = 256


class Typed:
    """One line of words for each command."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def give(self, execution_id: str, kind: str, data: str) -> str:
        """`ok`; `full` when too much waits already; `ended`. `kind`: input or signal."""
        return str(self._scripts.call("give_typed", execution_id, kind, data, MOST))

    def take(self, execution_id: str, fence: int) -> list[tuple[str, str]]:
        """Some of the next words, which are nobody else's from then on. Raises LeaseLost.

        Whoever dies with them loses them: a command must not be given twice.
        """
        flat = self._scripts.call("take_typed", execution_id, fence)
        return list(zip(flat[::2], flat[1::2], strict=True))
