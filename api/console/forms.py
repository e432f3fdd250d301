"""What a form sent, as the API's schemas take it; and what they say of it, field by field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from werkzeug.datastructures import MultiDict

from api.jobs import schemas
from knify import errors

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")


def body(
    form: MultiDict[str, str],
    *,
    texts: Iterable[str] = (),
    numbers: Iterable[str] = (),
    lists: Iterable[str] = (),
) -> dict[str, Any]:
    """The fields that were filled in. What should be a number and is none stays a text.

    Lists are there also when nothing is ticked: that is a choice.
    """
    found: dict[str, Any] = {name: form.get(name, "").strip() for name in texts}
    for name in numbers:
        text = form.get(name, "").strip()
        found[name] = int(text) if _WHOLE.fullmatch(text) else text
    filled = {name: value for name, value in found.items() if value != ""}
    return filled | {name: form.getlist(name) for name in lists}


def problems(refused: errors.KnifyError) -> dict[str, str]:
    """Field to what is wrong with it; under `""` what is said of no field."""
    detail = refused.detail if isinstance(refused.detail, Mapping) else {}
    told = detail.get("problems") or [{"field": detail.get("field"), "message": refused.message}]
    found: dict[str, str] = {}
    for one in told:
        whole = str(one["field"] or "").removeprefix("spec.")
        found.setdefault(whole.partition(".")[0], sentence(str(one["message"]), whole))
    return found


def page_of(query: Mapping[str, str]) -> int:
    """The number of the page that is asked for; 1 for what makes no sense."""
    text = query.get("page", "1")
    return max(1, int(text)) if re.fullmatch(r"[0-9]{1,5}", text) else 1


def comparisons(words: str) -> dict[str, str]:
    """Of a search's words those like `team=infra`; at most as many as the API compares."""
    pairs = [word.split("=", 1) for word in words.split() if "=" in word]
    fitting = [(k, v) for k, v in pairs if 0 < len(k) <= schemas.MAX_FILTER_KEY and v]
    return dict(fitting[: schemas.MAX_FILTERS])


def sentence(message: str, field: str = "") -> str:
    """An error's message as it stands alone; `field`: where it is said, so not in it."""
    text = message.removeprefix(f"{field}: ")
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
