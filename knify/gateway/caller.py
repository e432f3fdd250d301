"""Whose connection something came on, as all that serves it sees that."""

from __future__ import annotations

import asyncio
from typing import Protocol

from knify.gateway.account import Account
from knify.gateway.door import Place
from knify.gateway.policy import Policy
from knify.gateway.told import Told


class Caller(Protocol):
    """One execution in its sandbox: a door."""

    @property
    def place(self) -> Place:
        """Whose it is."""

    @property
    def policy(self) -> Policy:
        """As it is now."""

    @property
    def told(self) -> Told:
        """Its events."""

    @property
    def account(self) -> Account:
        """What it has used of models."""

    @property
    def names(self) -> asyncio.Semaphore:
        """How many it may have resolved at one time."""
