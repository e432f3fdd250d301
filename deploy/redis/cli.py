#!/opt/knify/bin/python
"""A `valkey-cli` as small as health checks need it: `valkey-cli -h HOST -p PORT --user NAME …`.

The password comes from REDISCLI_AUTH, as with the real one; the wheel with the server has none.
"""

from __future__ import annotations

import argparse
import os
import sys

import redis


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-h", dest="host", default="127.0.0.1")
    parser.add_argument("-p", dest="port", type=int, default=6379)
    parser.add_argument("--user", default=None)
    parser.add_argument("words", nargs="+")
    asked = parser.parse_args(sys.argv[1:])
    client = redis.Redis(
        host=asked.host,
        port=asked.port,
        username=asked.user,
        password=os.environ.get("REDISCLI_AUTH"),
        socket_timeout=3,
        decode_responses=True,
    )
    try:
        answer = client.execute_command(*asked.words)
    except redis.RedisError as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    sys.stdout.write(f"{'PONG' if answer is True else answer}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
