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


def window(page: int | None, limit: int | None, *, first: bool = True) -> Window:
    """From checked query parameters. A list that does not begin at its `first` row has a form."""
    if page is None and limit is None and first:
        return Window(1, MAX_LIMIT, bare=True)
    return Window(page or 1, limit or DEFAULT_LIMIT, bare=False)


def respond(
    rows: Sequence[dict[str, Any]],
    total: int,
    asked: Window,
    *,
    is_estimate: bool = False,
    following: int | None = None,
) -> flask.Response:
    """The list as the contract shows it, with `X-Total-Count` and `Link` in both forms.

    `following`: where the list goes on, said by `X-Next-Before`.
    """
    pages = -(-total // asked.limit)
    facts: dict[str, Any] = {"page": asked.page, "limit": asked.limit}
    facts |= {"total": total, "pages": pages}
    if is_estimate:
        facts["total_is_estimate"] = True
    body = list(rows) if asked.bare else {"data": list(rows), "pagination": facts}
    response = flask.jsonify(body)
    response.headers["X-Total-Count"] = str(total)
    if following is not None:
        response.headers["X-Next-Before"] = str(following)
    is_short = following is not None and len(rows) < asked.limit  # another page would miss some
    if is_short or "before" in flask.request.args:
        links = [_link("next", asked, before=following)] if following is not None else []
    else:
        links = [_link("next", asked, page=asked.page + 1)] if asked.page < pages else []
        links += [_link("prev", asked, page=asked.page - 1)] if asked.page > 1 else []
    if links:
        response.headers["Link"] = ", ".join(links)
    return response


def _link(relation: str, asked: Window, **place: int) -> str:
    query = flask.request.args.to_dict(flat=True)
    if "before" in place:
        query.pop("page", None)
    query |= {name: str(value) for name, value in place.items()} | {"limit": str(asked.limit)}
    return f'<{flask.request.path}?{urlencode(query)}>; rel="{relation}"'
