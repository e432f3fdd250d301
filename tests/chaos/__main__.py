"""`make chaos`: faults on the real stack, then crashes at every failpoint, and docs/faults.md.

`CHAOS_MINUTES` (default 10), `CHAOS_SEED`, `CHAOS_JOBS` (scripted ones, default 10000).
Options: `--write` writes the page; `--real` or `--scripted` runs one half only.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from tests.chaos import real, report


def main(arguments: list[str]) -> int:
    """1 when a promise was broken."""
    signal.signal(signal.SIGTERM, _interrupt)
    minutes = float(os.environ.get("CHAOS_MINUTES", "10"))
    seed = int(os.environ.get("CHAOS_SEED", "") or time.time_ns() % 1_000_000)
    jobs = int(os.environ.get("CHAOS_JOBS", "10000"))
    print(f"seed {seed}, {minutes:g} minutes", flush=True)
    ok, said, results = True, [], []
    if "--real" not in arguments:
        from tests.chaos import scripted

        found = scripted.run(jobs, seed)
        print(found.summary, flush=True)
        for violation in found.violations[:50]:
            print(violation, flush=True)
        ok, said = not found.violations, [found.summary]
    if "--scripted" not in arguments:
        result = real.run(minutes * 60, seed)
        print("\n".join(["", *report.table(result)]), flush=True)
        print(f"\n{sum(result.jobs.values())} jobs: {result.jobs}\nanswers: {result.answers}")
        print(f"{len(result.violations)} violations")
        ok, results = ok and result.ok, [result]
    if "--write" in arguments and results:
        report.PAGE.write_text(report.page(results, said))
    elif "--write" in arguments and report.PAGE.exists():
        report.note_scripted(said[0])
    return 0 if ok else 1


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
