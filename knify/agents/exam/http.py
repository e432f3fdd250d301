"""JSON from an HTTP service, through the sandbox's only way out: the proxy that it is given."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlsplit

from knify.agents.exam import files, source, times

_BYTES = 64 * 1024**2  # of an answer that is read
_ROWS = 1_000_000
_SECONDS = 60.0
NO_WAY = "not available: the job has no way out (network_mode, allowed_hosts)"


def read(found: source.Source, wanted: source.Wanted) -> source.Rows:
    """The user's rows. SourceError."""
    url = _url(found.url or "", wanted)
    scheme = urlsplit(url).scheme
    proxy = os.environ.get(f"{scheme.upper()}_PROXY")
    if not proxy:
        raise source.SourceError(NO_WAY)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({scheme: proxy}))
    items = _at(_answer(opener, url, min(_SECONDS, wanted.seconds)), found.items)
    if not isinstance(items, list):
        raise source.SourceError(f"there is no list of rows at {found.items or 'the top'}")
    rows = source.Rows(wanted, cut=max(0, len(items) - _ROWS))
    for item in items[:_ROWS]:
        if not isinstance(item, dict):
            rows.unreadable += 1
        elif str(_at(item, found.user)) == wanted.user_id:
            at = times.milliseconds(_at(item, found.time), found.unit)
            label = _at(item, found.label) if found.label else None
            rows.add(at, hash(json.dumps(item, sort_keys=True)), label)
    return rows


def _url(template: str, wanted: source.Wanted) -> str:
    url = template
    values = {"user_id": wanted.user_id, "from": times.text(wanted.start),
              "to": times.text(wanted.end)}  # fmt: skip
    for name, value in values.items():
        url = url.replace("{" + name + "}", quote(value, safe=""))
    if urlsplit(url).scheme not in ("http", "https"):
        raise source.SourceError("url must begin with http:// or https://")
    return url


def _answer(opener: urllib.request.OpenerDirector, url: str, seconds: float) -> Any:
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310
    try:
        with opener.open(request, timeout=seconds) as answer:
            data = answer.read(_BYTES + 1)
    except urllib.error.HTTPError as refused:
        raise source.SourceError(f"answered {refused.code} {refused.reason}"[:300]) from None
    except (OSError, ValueError) as failed:
        reason = getattr(failed, "reason", failed)
        raise source.SourceError(f"cannot be reached: {reason}"[:500]) from None
    if len(data) > _BYTES:
        raise source.SourceError(f"answered with more than {_BYTES // 1024**2} MiB")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as failed:
        raise source.SourceError(f"did not answer JSON: {files.first_line(failed)}") from None


def _at(value: Any, name: str) -> Any:
    """What stands at a member's name or JSON pointer; None when there is nothing."""
    for part in files.pointer(name).split("/")[1:] if name else ():
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
