"""The console scripts: Ctrl-C is quiet from the first line on, while modules are being imported."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Final

INTERRUPTED: Final = 130


def knify() -> None:
    """`knify`."""
    _quietly()
    from knify.cli import main

    _run(main.main)


def sandbox() -> None:
    """`sandbox`."""
    _quietly()
    from knify.cli import sandbox

    _run(sandbox.main)


def _quietly() -> None:
    """Nothing is begun yet, so there is nothing to tidy up either."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def _run(main: Callable[[], None]) -> None:
    """From here on commands hear of Ctrl-C, but not completion: nobody asked it anything."""
    completes = any(f"_{name}_COMPLETE" in os.environ for name in ("KNIFY", "SANDBOX"))
    if not completes and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
