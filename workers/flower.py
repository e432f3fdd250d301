"""`python -m workers.flower`: Flower on the workers' events, never without a password."""

from __future__ import annotations

import os
import sys
from typing import Final

from knify import errors, logs, settings
from knify.store import ready

_OPTIONS: Final = (
    *("--port=5555", "--purge_offline_workers=600", "--enable_events=true"),
    # An argument is the id of an execution, or of a sandbox.
    "--tasks_columns=name,args,state,received,runtime,worker",
)
#: What workers have in hand is nothing to Flower, whose user of Redis may not touch it.
_OF_ITS_OWN: Final = {
    f"{name}_key": f"flower.{name}" for name in ("unacked", "unacked_index", "unacked_mutex")
}


def main() -> int:
    """Serve on port 5555 until SIGTERM; the exit code."""
    # Here for the one line that it says when a setting is wrong; workers.app would trace back.
    try:
        config = settings.load()
        account = credentials(config)
    except errors.ConfigError as wrong:
        sys.stderr.write(f"knify flower: {wrong.message}\n")
        return 2
    logs.configure(config.log_level, "flower")
    ready.wait(config, _say)
    # In the environment, which only root and this user can read; arguments are for everybody.
    os.environ["FLOWER_BASIC_AUTH"] = account
    from workers.app import app

    app.conf.broker_transport_options.update(_OF_ITS_OWN)
    app.start(["flower", *_OPTIONS])
    return 0


def credentials(config: settings.Settings) -> str:
    """`user:password` as Flower takes it. ConfigError when it would let anybody in."""
    password, user = config.flower_password, config.flower_user
    if not password:
        raise errors.ConfigError("KNIFY_FLOWER_PASSWORD is empty: Flower does not start without")
    if not user or any(sign in user for sign in ":,") or "," in password:
        raise errors.ConfigError("KNIFY_FLOWER_USER may hold no : or , and its password no ,")
    return f"{user}:{password}"


def _say(line: str) -> None:
    sys.stderr.write(f"knify flower: {line}\n")


if __name__ == "__main__":
    raise SystemExit(main())
