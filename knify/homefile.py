"""Settings that are kept in a file: `.env` in the installation's home, wherever one is called.

Not that of the working folder: there it is compose's, or came with somebody's project.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def read() -> None:
    """What it says is this process's environment from now on; what is set already stays."""
    home = Path(os.environ.get("KNIFY_HOME") or "~/.knify").expanduser()
    with contextlib.suppress(PermissionError):  # somebody else's home: his settings are not ours
        if (home / ".env").is_file():
            import dotenv  # late: most have no such file

            dotenv.load_dotenv(home / ".env")
