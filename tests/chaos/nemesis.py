"""Injects faults one after the other from a shuffled deck, and measures how long they are felt."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from knify import clock
from tests.chaos.faults import Fault, World
from tests.chaos.history import Violation
from tests.chaos.load import Stopped

RECOVERY = 120.0  # seconds within which a job must end again


@dataclass(slots=True)
class Row:
    """What was seen of one kind of fault."""

    name: str
    injected: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)  # ms: begun, recovered
    recoveries: list[float] = field(default_factory=list)  # seconds


class Nemesis:
    """One sequence of faults."""

    def __init__(self, world: World, faults: Sequence[Fault], pause: float, least: int) -> None:
        """`pause`: seconds between faults at most; `least`: times for each kind."""
        self.rows = {fault.name: Row(fault.name) for fault in faults}
        self._world = world
        self._faults = faults
        self._pause = pause
        self._least = least
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._over = threading.Event()
        self._deadline = 0.0
        self._last = 0.0

    def start(self, seconds: float) -> None:
        """Go on for `seconds`, and then until each kind had its turns, twice as long at most."""
        self._deadline = time.monotonic() + seconds
        self._last = self._deadline + seconds
        self._thread.start()

    def stop(self) -> None:
        """After the fault that is under way."""
        self._over.set()

    def join(self, seconds: float) -> bool:
        """Whether it has ended in time."""
        self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def _run(self) -> None:
        rng = random.Random(self._world.rng.random())
        deck: list[Fault] = []
        while not self._over.is_set() and not self._enough():
            if not deck:
                deck = list(self._faults)
                rng.shuffle(deck)
            self._inject(deck.pop())
            self._over.wait(rng.uniform(0, self._pause))

    def _enough(self) -> bool:
        now = time.monotonic()
        everybody = all(row.injected >= self._least for row in self.rows.values())
        return now > self._last or (now > self._deadline and everybody)

    def _inject(self, fault: Fault) -> None:
        row, begun = self.rows[fault.name], clock.now_ms()
        print(f"{time.strftime('%H:%M:%S')} {fault.name}", flush=True)
        try:
            fault.inject(self._world)
        except Stopped:
            return
        except Exception as failed:  # the harness's own, or a part that never came back
            self._world.load.violations.append(
                Violation("harness", "", f"{fault.name}: {failed!r:.1000}", (begun, clock.now_ms()))
            )
        healed = time.monotonic()
        row.injected += 1
        noticed = self._world.load.progress(healed, RECOVERY)
        row.spans.append((begun, clock.now_ms()))
        if noticed is None:
            text = f"{fault.name}: no job ended for {RECOVERY:.0f} s"
            self._world.load.violations.append(Violation("slow", "", text, row.spans[-1]))
        else:
            row.recoveries.append(noticed - healed)
