"""Identifiers that go together."""

from __future__ import annotations

from knify import ids


def test_what_is_made_with_another_thing_has_its_digits() -> None:
    job = ids.new("job")

    assert ids.paired("sandbox", job) == job.replace("job_", "sandbox_")
    assert ids.paired("job", ids.paired("sandbox", job)) == job
