"""Whom an examination is about, and in which time."""

from __future__ import annotations

from typing import Any

import pytest

from knify import errors, model, spec

SPAN = {"from": "2025-01-01T00:00:00Z", "to": "2025-01-31T23:59:59Z"}


def _build(**fields: Any) -> model.ExecutionSpec:
    request = {"job_type": "user_exam", "user_id": "u1", "time_range": SPAN} | fields
    return spec.build(request, allowed_images=("localhost/*",))


def test_a_range_is_two_moments_in_whatever_zone() -> None:
    assert _build().time_range == (1_735_689_600_000, 1_738_367_999_000)
    shifted = {"from": "2025-01-01T02:00:00+02:00", "to": "2025-01-01T00:00:00Z"}
    assert _build(time_range=shifted).time_range == (1_735_689_600_000,) * 2


@pytest.mark.parametrize(
    ("span", "field"),
    [
        ({"from": SPAN["from"]}, "time_range.to"),
        ({**SPAN, "until": "x"}, "time_range.until"),
        ({**SPAN, "from": "yesterday"}, "time_range.from"),
        ({**SPAN, "from": 7}, "time_range.from"),
        ({**SPAN, "from": "2025-01-01T00:00:00"}, "time_range.from"),
        ({"from": SPAN["to"], "to": SPAN["from"]}, "time_range.to"),
    ],
)
def test_a_wrong_range_is_named(span: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.BadRequest) as refused:
        _build(time_range=span)

    assert refused.value.detail == {"field": f"spec.{field}"}


@pytest.mark.parametrize("user_id", ["", " ", "a\nb", "a\0b", "x" * 257, None])
def test_an_id_is_a_printable_text(user_id: str | None) -> None:
    with pytest.raises(errors.BadRequest) as refused:
        _build(user_id=user_id)

    assert refused.value.detail == {"field": "spec.user_id"}
