"""`python -m api.server [--no-auth]`: the API under gunicorn, one gevent worker.

Nothing is imported before gevent has replaced the blocking parts of the standard library.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Serve until a signal comes; settings come from the environment."""
    from gevent import monkey

    monkey.patch_all()

    from api import serving

    serving.run(no_auth="--no-auth" in sys.argv[1:])


if __name__ == "__main__":
    main()
