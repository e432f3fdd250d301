"""Looks at this node as `knify doctor` does, each hour, and leaves what it found for operators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from knify import clock, doctor
from knify.core import Core
from knify.store.checkups import Checkup

SECONDS: Final = 3600.0


def look(core: Core) -> float:
    """The seconds after which to look again."""
    lines = [asdict(check) for check in doctor.checks(core.settings)]
    core.store.checkups.note(core.settings.node, Checkup(clock.now_ms(), lines))
    return SECONDS
