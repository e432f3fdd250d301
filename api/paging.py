"""Pages of lists: `?page=&limit=`, or a bare array of the newest hundred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import flask

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
MAX_PAGE = 100_000


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for."""

    page: int
    limit: int
    bare: bool  # neither page nor limit was given: answer a plain array

    @property
    def offset(self) -> int:
        """How many rows come before."""
        return (self.page - 1) * self.limit


def window(page: int | None, limit: int | None) -> Window:
    """From checked query parameters."""
    if page is None and limit is None:
        return Window(1, MAX_LIMIT, bare=True)
    return Window(page or 1, limit or DEFAULT_LIMIT, bare=False)


def respond(
    rows: Sequence[dict[str, Any]], total: int, asked: Window, *, is_estimate: bool = False
) -> flask.Response:
    """The list as the contract shows it, with `X-Total-Count` and `Link` in both forms."""
    pages = -(-total // asked.limit)
    facts: dict[str, Any] = {"page": asked.page, "limit": asked.limit}
    facts |= {"total": total, "pages": pages}
    if is_estimate:
        facts["total_is_estimate"] = True
    body = list(rows) if asked.bare else {"data": list(rows), "pagination": facts}
    response = flask.jsonify(body)
    response.headers["X-Total-Count"] = str(total)
    links = [_link("next", asked.page + 1, asked)] if asked.page < pages else []
    links += [_link("prev", asked.page - 1, asked)] if asked.page > 1 else []
    if links:
        response.headers["Link"] = ", ".join(links)
    return response


def _link(relation: str, page: int, asked: Window) -> str:
    query = flask.request.args.to_dict(flat=True) | {"page": str(page), "limit": str(asked.limit)}
    return f'<{flask.request.path}?{urlencode(query)}>; rel="{relation}"'
