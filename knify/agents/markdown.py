"""A runbook's Markdown taken apart into steps.

Run are fences of sh, bash, shell and console, python, python3 and py, javascript, js and node,
wherever they stand, in their order. `console` is a transcript: only what follows `$ ` (and, for
a command of several lines, `> `) is run. Words after the language: `skip` does not run it,
`continue-on-error` lets the run go on when it fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import markdown_it
from markdown_it.token import Token

from knify import errors

MAX_STEPS = 200

LANGUAGES = {
    **dict.fromkeys(("sh", "bash", "shell", "console"), "shell"),
    **dict.fromkeys(("python", "python3", "py"), "python"),
    **dict.fromkeys(("javascript", "js", "node"), "javascript"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """A fence, or, without a language, what stands behind the last one."""

    text: str  # the headings and paragraphs before it
    language: str = ""  # shell, python, javascript; empty: nothing to run
    code: str = ""
    keep_going: bool = False  # whether its failure lets the run go on


def steps(text: str) -> list[Step]:
    """All steps in order; BadRequest when there is nothing to run."""
    found = list(_steps(markdown_it.MarkdownIt("commonmark").parse(text)))
    count = sum(bool(step.language) for step in found)
    if not count:
        raise errors.BadRequest(
            "the runbook has nothing to run: write shell, Python or JavaScript in fences such as "
            "```sh"
        )
    if count > MAX_STEPS:
        raise errors.BadRequest(f"the runbook has more than {MAX_STEPS} steps: split it")
    return found


def _steps(tokens: list[Token]) -> Iterator[Step]:
    texts: list[str] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "inline" and token.content.strip():
            texts.append(_heading(before) + token.content)
        elif token.type == "fence":
            step = _fence(token, "\n\n".join(texts))
            texts = [] if step.language else [step.text]
            if step.language:
                yield step
    if texts:
        yield Step("\n\n".join(texts))


def _heading(before: Token | None) -> str:
    if before is not None and before.type == "heading_open":
        return "#" * int(before.tag[1]) + " "
    return ""


def _fence(token: Token, text: str) -> Step:
    """A step, or one without a language whose text also says what is not run."""
    name, *flags = token.info.replace(",", " ").split() or [""]
    language = LANGUAGES.get(name.lower(), "")
    code = _commands(token.content) if name.lower() == "console" else token.content
    if language and code.strip() and "skip" not in flags:
        return Step(text, language, code, "continue-on-error" in flags)
    note = f"(Not run: a block of {name or 'text'}.)"
    return Step(f"{text}\n\n{note}" if text else note)


def _commands(transcript: str) -> str:
    lines = []
    more = False
    for line in transcript.splitlines():
        if line.startswith("$ ") or (more and line.startswith("> ")):
            lines.append(line[2:])
        elif more and lines[-1].endswith("\\"):
            lines.append(line)
        else:
            more = False
            continue
        more = True
    return "".join(line + "\n" for line in lines)
