"""`python -m api.server`: the API under gunicorn, one gevent worker; KNIFY_NO_AUTH=1 drops keys.

Nothing is imported before gevent has replaced the blocking parts of the standard library.
"""

from __future__ import annotations

import os


def main() -> None:
    """Serve until a signal comes; settings come from the environment."""
    from gevent import monkey

    monkey.patch_all()

    from api import serving

    serving.run(no_auth=os.environ.get("KNIFY_NO_AUTH") == "1")


if __name__ == "__main__":
    main()
