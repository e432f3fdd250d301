"""`python -m tests.bench.console`: how quick the console is in a real Chromium, on the real server.

The list with 10,000 jobs: first paint and weight. A job with 100,000 lines: frames while one flies
through them, against frames while nothing moves in the same minute. A line that is printed: until
it is seen.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from knify import core as core_module
from knify import hints, model, settings
from knify.core import Core
from knify.services import jobs, keys
from tests.console import told
from tests.console.screens import Screen, chromium
from tests.parts import fill, redis
from tests.parts.stack import _free_port, eventually

JOBS, LINES = 10_000, 100_000
_PAINT = """() => ({
  paint: performance.getEntriesByName('first-contentful-paint')[0].startTime,
  bytes: performance.getEntriesByType('resource').reduce((all, one) => all + one.transferSize, 0)
    + performance.getEntriesByType('navigation')[0].transferSize,
})"""
_FRAMES = """async ([fly, ms]) => {
  const box = document.querySelector('#term-box');
  const frames = [], start = performance.now();
  let last = start;
  await new Promise((done) => {
    const step = () => {
      const now = performance.now();
      frames.push(now - last);
      last = now;
      const way = box.scrollHeight - box.clientHeight;
      if (fly) box.scrollTop = way * Math.min(1, (now - start) / ms);
      if (now - start > ms) done(); else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
  return frames.slice(1);
}"""
_SEEN = """async (ms) => {
  const seen = [], known = new Set();
  const look = () => {
    for (const line of document.querySelectorAll('#term-box .ln')) {
      const told = /printed at ([0-9.]+)/.exec(line.textContent);
      if (!told || known.has(told[1])) continue;
      known.add(told[1]);
      requestAnimationFrame(() => seen.push(Date.now() - Number(told[1]) * 1000));
    }
  };
  document.querySelectorAll('#term-box .ln').forEach((line) =>
    known.add(/printed at ([0-9.]+)/.exec(line.textContent)?.[1]));
  const box = document.querySelector('#term-box');
  new MutationObserver(look).observe(box, {childList: true, subtree: true});
  await new Promise((done) => setTimeout(done, ms));
  return seen;
}"""


@contextmanager
def _served() -> Iterator[tuple[str, str, Core]]:
    """The real server with a Redis of its own: its address, a key, and its store."""
    folder = Path(tempfile.mkdtemp(prefix="knify-console-"))
    server, port = redis.start(folder), _free_port()
    given = {"KNIFY_HOME": str(folder / "home"), "KNIFY_REDIS_URL": server.url}
    environ = given | {"KNIFY_PORT": str(port), "KNIFY_WS_PORT": "0"}
    (folder / "home").mkdir()
    argv = [sys.executable, "-m", "api.server"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(argv, env=os.environ | environ, stdout=quiet, stderr=quiet)
    try:
        eventually(lambda: (folder / "home" / "admin.key").exists() or None, seconds=60)
        core = core_module.connect(settings.load(given), hints.RecordedHints())
        yield f"http://127.0.0.1:{port}", keys.create(core, "default").text, core
    finally:
        process.kill()
        process.wait()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _job(core: Core, name: str) -> model.Execution:
    asked = jobs.Submission({"job_type": "command_task", "command": "make"}, name=name)
    return told.running(core, jobs.submit(core, "default", asked).answer.id)


def _list(screen: Screen, core: Core) -> None:
    fill.Store(core).of_kinds(JOBS, lambda n: ("completed", "command_task", {"n": n}))
    found = []
    screen.context.new_cdp_session(screen.page).send("Network.clearBrowserCache")
    for _ in range(5):
        screen.go("/console/jobs").wait_for_selector("[data-row]")
        screen.page.wait_for_timeout(300)
        found.append(screen.page.evaluate(_PAINT))
    paint = statistics.median(one["paint"] for one in found)
    print(f"list with {JOBS:,} jobs: first paint {paint:.0f} ms (target 1,000)")
    fresh = found[0]["bytes"] / 1024
    again = found[-1]["bytes"] / 1024
    print(f"  weight {fresh:.0f} KiB (target 150), {again:.0f} KiB when it was seen before")


def _output(screen: Screen, core: Core) -> None:
    x = _job(core, "Many lines")
    for first in range(0, LINES, 2_000):
        x = told.lines(
            core, x, [f"\x1b[32mline {n}\x1b[0m with words" for n in range(first, first + 2_000)]
        )
    told.end(core, x)
    page = screen.go(f"/console/jobs/{x.id}")
    page.wait_for_selector("#term-box .ln")
    still = sorted(page.evaluate(_FRAMES, [False, 3_000]))
    flying = sorted(page.evaluate(_FRAMES, [True, 8_000]))
    for name, frames in (("standing still", still), (f"{LINES:,} lines in 8 s", flying)):
        middle, late = statistics.median(frames), frames[int(len(frames) * 0.95)]
        print(f"{name}: frames of {middle:.1f} ms, p95 {late:.1f}, max {frames[-1]:.0f}")


def _live(screen: Screen, core: Core) -> None:
    x = _job(core, "Prints")
    x = told.lines(core, x, ["begun"])
    page = screen.go(f"/console/jobs/{x.id}")
    page.wait_for_selector("#term-box .ln")
    page.wait_for_timeout(1_000)
    end = threading.Event()

    def prints(x: model.Execution) -> None:
        while not end.wait(0.5):
            x = told.lines(core, x, [f"printed at {time.time()}"])

    thread = threading.Thread(target=prints, args=(x,))
    thread.start()
    seen: list[Any] = sorted(page.evaluate(_SEEN, 12_000))
    end.set()
    thread.join()
    print(
        f"{len(seen)} lines, from stored to seen: median {statistics.median(seen):.0f} ms, "
        f"at most {seen[-1]:.0f} (target 200)"
    )


def main() -> None:
    """Print the figures."""
    with _served() as (url, key, core), chromium() as browser:
        screen = Screen(browser, url, key)
        _list(screen, core)
        _output(screen, core)
        _live(screen, core)
        screen.close()


if __name__ == "__main__":
    main()
