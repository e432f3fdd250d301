"""What a request would have the vendor do by itself: search the web, run code, ask other servers.

None of it is bound by the job's network, and none has a price here; what is stored in the
operator's account may be another job's. So all of it needs the operator's word, by these names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from knify import errors
from knify.gateway import objects

#: Characters of a name that is looked at closer: an expression over more holds up all other calls.
NAME: Final = 200

#: Of the vendors' forms of tools, those that the agent's own program answers.
_OURS: Final = {
    "anthropic": re.compile(r"custom|(?:bash|text_editor|memory)_\d+|tool_search_tool_\w+"),
    "openai": re.compile(r"function|custom|namespace|local_shell|apply_patch|tool_search"),
    "google": re.compile(r"functiondeclarations"),
}
#: What agents' programs offer their models unasked: it is taken out, and the rest is asked.
_UNASKED: Final = {"openai": ("web_search",)}
_VERSION: Final = re.compile(r"(?:_preview)?(?:_\d{4}_?\d{2}_?\d{2})?$")
#: Other values have other prices than the table's.
_USUAL: Final = {
    "service_tier": ("auto", "default", "standard", "standard_only", "flex"),
    "speed": ("standard",),
    "inference_geo": ("global",),
}
#: Where servers take an address beside `…_url`.
_PLACES: Final = ("file_data", "image", "audio", "video")
_SEARCHES: Final = re.compile(
    r"search-(?:preview|api)|deep-research|:online$"
)  # whatever tools they get
#: Fields of a whole request that stand for one of them by being there: what the vendor has stored,
#: what it is to use besides, other models than the one that is named.
_FIELDS: Final = {
    "anthropic": {"mcp_servers": "mcp", "container": "code_execution", "fallbacks": "models"},
    "openai": {
        **dict.fromkeys(("previous_response_id", "conversation", "prompt"), "stored"),
        "web_search_options": "web_search",
        "plugins": "plugins",
        "models": "models",
    },
    "google": {"cachedcontent": "stored"},
}
#: Of Google's: a request within one that counts its tokens.
_WITHIN: Final = ("generateContentRequest", "generate_content_request")


def asked(vendor: str, body: dict[str, Any]) -> list[str]:
    """The names of all that it would have done, in order."""
    wholes = [body, *(body[name] for name in _WITHIN if isinstance(body.get(name), dict))]
    found = {name for whole in wholes for name in _of_whole(vendor, whole)}
    for one in objects.of(body, _FREE[vendor]):
        found.update(_OF[vendor](one), _tools(vendor, one))
    return sorted(found)


def spelled_twice(vendor: str, body: dict[str, Any]) -> str | None:
    """A name that some read as another one, so that they read another request than we do."""
    for one in objects.of(body, _FREE[vendor]):
        if vendor == "google":  # either spelling of a field, of which the last one counts
            if len({_plain(name) for name in one}) < len(one):
                return "one field in two spellings"
        else:
            for name in one:
                if name not in _READ and name.casefold() in _READ:
                    return name[:200]
    return None


def without_unasked(vendor: str, body: dict[str, Any], allowed: Callable[[str], bool]) -> bool:
    """Take out of it what agents' programs add by themselves; whether there was something."""
    names = [name for name in _UNASKED.get(vendor, ()) if not allowed(name)]
    is_changed = False
    for one in objects.of(body, _FREE[vendor]) if names else ():
        tools = one.get("tools")
        if isinstance(tools, list):
            kept = [tool for tool in tools if _tool(vendor, tool) not in names]
            is_changed |= len(kept) < len(tools)
            one["tools"] = kept
    return is_changed


def written(body: dict[str, Any]) -> bytes:
    """As it is sent on when it was changed."""
    return json.dumps(body, separators=(",", ":")).encode()


def name_of(where: str, name: str) -> str:
    """The name, if it can be one and be told of. BadRequest."""
    if len(name) > NAME or not name.isprintable():
        raise errors.BadRequest(f"{where}: a name is at most {NAME} printable characters")
    return name


def _of_whole(vendor: str, body: dict[str, Any]) -> Iterator[str]:
    """What its own fields say, in Google's case in either spelling."""
    plain = {_plain(name): value for name, value in body.items()} if vendor == "google" else body
    for name, meaning in _FIELDS[vendor].items():
        if plain.get(name) not in (None, [], "", {}):
            yield meaning
    for name, usual in _USUAL.items():
        value = plain.get(_plain(name) if vendor == "google" else name)
        if value is not None and str(value).lower() not in usual:
            yield name
    if vendor == "openai":
        yield from _items(body)
    if isinstance(body.get("model"), str) and _SEARCHES.search(name_of("model", body["model"])):
        yield "web_search"


def _anthropic(one: dict[str, Any]) -> Iterator[str]:
    source = one.get("source")
    if isinstance(source, dict):
        if source.get("type") == "file" or source.get("file_id"):
            yield "files"
        if source.get("type") == "url" or source.get("url"):
            yield "urls"
    yield from _fetched(one)
    if one.get("type") == "container_upload":
        yield "files"


def _openai(one: dict[str, Any]) -> Iterator[str]:
    kind = one.get("type")  # any thing may stand there: the writing of one within one takes ages
    if one.get("file_id") and not (isinstance(kind, str) and "file_citation" in kind):
        yield "files"
    sound = one.get("audio")
    if isinstance(sound, dict) and sound.get("id"):  # of an answer before
        yield "stored"
    yield from _fetched(one)


def _fetched(one: dict[str, Any]) -> Iterator[str]:
    """Addresses where files may stand, also in the forms of other servers than the vendor's own."""
    for name, value in one.items():
        # A tool's `server_url` is what its own name stands for.
        if name in _PLACES or (name.endswith("_url") and name != "server_url"):
            url = value.get("url") if isinstance(value, dict) else value
            # Base64 has no colon.
            if isinstance(url, str) and not url.startswith("data:") and ":" in url:
                yield "urls"


def _items(body: dict[str, Any]) -> Iterator[str]:
    """What of a conversation OpenAI is to take from where it keeps its answers."""
    given = body.get("input")
    for item in given if isinstance(given, list) else ():
        if isinstance(item, dict) and _is_reference(item):
            yield "stored"


def _is_reference(item: dict[str, Any]) -> bool:
    """Whether it says what it means by an id only; `type` may be missing."""
    said = {name for name, value in item.items() if value not in (None, "", [], {})}
    kind = item.get("type")
    if kind == "item_reference":
        return True
    if "id" not in said:
        return False
    if kind == "reasoning":  # a summary is not what was thought
        return not said & {"encrypted_content", "content"}
    return said <= {"id", "type", "status", "role"}


def _google(one: dict[str, Any]) -> Iterator[str]:
    if any(_plain(name) == "filedata" for name in one):
        yield "urls"


def _tools(vendor: str, one: dict[str, Any]) -> Iterator[str]:
    tools = one.get("tools")
    for tool in tools if isinstance(tools, list) else [tools] if tools else []:
        name = _tool(vendor, tool)
        if name:
            yield name


def _tool(vendor: str, tool: Any) -> str:
    """What the vendor does itself of a list of tools; "" for one that the agent's program does."""
    if not isinstance(tool, dict):
        return "tools"
    if vendor == "google":
        names = [name_of("tools", name) for name in tool]
        kinds = [name for name in names if not _OURS[vendor].fullmatch(_plain(name))]
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kinds[0]).lower() if kinds else ""
    kind = tool.get("type", "custom")
    if not isinstance(kind, str):
        return "tools"
    kind = name_of("tools", kind)
    if _OURS[vendor].fullmatch(kind) or (kind == "shell" and _is_local(tool)):
        return ""
    return _VERSION.sub("", kind).removesuffix("_toolset") or "tools"


def _is_local(tool: dict[str, Any]) -> bool:
    place = tool.get("environment")
    return isinstance(place, dict) and place.get("type") == "local"


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


_OF: Final[dict[str, Callable[[dict[str, Any]], Iterator[str]]]] = {
    "anthropic": _anthropic,
    "google": _google,
    "openai": _openai,
}
#: Behind these stands what a tool is given or says, or a form for it: nothing that is done.
_FREE: Final = {
    "anthropic": frozenset({"input", "input_schema"}),
    "google": frozenset(
        {
            *("args", "response", "parameters", "labels"),
            *("parametersJsonSchema", "responseSchema", "responseJsonSchema"),
            *("parameters_json_schema", "response_schema", "response_json_schema"),
        }
    ),
    "openai": frozenset({"parameters", "schema", "metadata", "client_metadata", "definition"}),
}
#: All names that are read here or beside: some servers take them in capitals, too.
_READ: Final = frozenset(
    {
        *("model", "models", "background", "tools", "type", "stream", "stream_options", "n"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "messages", "input"),
        *("content", "output", "source", "url", "file_id", "file", "id", "input_audio", "data"),
        *("image_url", "file_url", "video_url", "audio_url", "environment", "include_usage"),
        *(*_PLACES, *_USUAL, *_FIELDS["anthropic"], *_FIELDS["openai"]),
    }
)
