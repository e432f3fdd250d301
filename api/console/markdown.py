"""Markdown that others wrote, as a tree of a few harmless tags: templates put its text in as text.

There is no HTML in it, no image, and no link but to http and https.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

_NESTING: Final = 20  # of lists in lists and the like
_CELLS: Final = 10_000  # that tables may have: a row that has one is filled up as its head is wide
NODES: Final = 10_000  # of a tree; of what has more, none is made
#: What stands for itself: type of the parser's node to tag.
_TAGS: Final = {
    "paragraph": "p", "bullet_list": "ul", "ordered_list": "ol", "list_item": "li",
    "blockquote": "blockquote", "hr": "hr", "table": "table", "thead": "thead", "tbody": "tbody",
    "tr": "tr", "th": "th", "td": "td", "strong": "strong", "em": "em", "s": "s",
    "hardbreak": "br",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """An element, or with an empty tag just text."""

    tag: str = ""
    text: str = ""  # of text, of `code` and of `pre`
    kind: str = ""  # its class
    href: str = ""  # of `a`
    children: tuple[Node, ...] = ()


def tree(text: str, most: int = NODES) -> tuple[Node, ...]:
    """The text's blocks; empty for one of more than `most` nodes, which is shown as it is."""
    tokens = _parser(tables=_cells(text) <= _CELLS).parse(text)
    if size(tokens) > most:
        return ()
    return tuple(_nodes(SyntaxTreeNode(tokens).children))


def size(tokens: Sequence[Token]) -> int:
    """How many there are, with those within."""
    return sum(1 + len(one.children or ()) for one in tokens)


def count(nodes: Iterable[Node]) -> int:
    """The nodes of a tree."""
    return sum(1 + count(one.children) for one in nodes)


@functools.cache
def _parser(*, tables: bool) -> MarkdownIt:
    options = {"html": False, "linkify": False, "maxNesting": _NESTING}
    rules = ["table", "strikethrough"] if tables else ["strikethrough"]
    return MarkdownIt("commonmark", options).enable(rules)


def _cells(text: str) -> int:
    """At most so many cells its tables have: of what stands together, the widest line's in each."""
    total = width = lines = 0
    for line in (*text.splitlines(), ""):
        if line.strip():
            width, lines = max(width, line.count("|")), lines + 1
        else:
            total += (width + 1) * lines if width else 0
            width = lines = 0
    return total


def _nodes(found: Iterable[SyntaxTreeNode]) -> Iterator[Node]:
    for one in found:
        yield from _node(one)


def _node(one: SyntaxTreeNode) -> Iterator[Node]:
    if one.type in ("fence", "code_block"):
        yield Node("pre", text=one.content, kind=one.info.split(" ")[0][:20] if one.info else "")
    elif one.type == "code_inline":
        yield Node("code", text=one.content)
    elif one.type == "heading":  # a page's own headings are its outline
        yield Node("p", kind=f"md-{one.tag}", children=tuple(_nodes(one.children)))
    elif one.type == "link":
        yield _link(one)
    elif one.type == "image":
        yield Node(text=f"[image: {one.content or 'without words'}, {one.attrs.get('src', '')}]")
    elif one.type == "softbreak":
        yield Node(text="\n")
    elif one.type in _TAGS:
        yield Node(_TAGS[one.type], children=tuple(_nodes(one.children)))
    elif one.children:
        yield from _nodes(one.children)
    elif one.content:  # HTML too is what it was written as
        yield Node(text=one.content)


def _link(one: SyntaxTreeNode) -> Node:
    href, children = str(one.attrs.get("href", "")), tuple(_nodes(one.children))
    if is_web(href):
        return Node("a", href=href, children=children)
    return Node("span", children=(*children, Node(text=f" ({href})")))


def is_web(href: str) -> bool:
    """Whether it is a whole address of http or https."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)
