from __future__ import annotations

import itertools
import tracemalloc

import pytest

from knify import yamltext


def test_plain_words_mean_what_they_do_in_yaml_1_2() -> None:
    text = "a: no\nb: 010\nc: 1e5\nd: 2026-01-01\ne: ~\nf:\ng: '1'\nh: true\ni: on\non: [1.5, -2]\n"

    assert yamltext.read(text) == {
        "a": "no", "b": 10, "c": 1e5, "d": "2026-01-01", "e": None, "f": None, "g": "1", "h": True,
        "i": "on", "on": [1.5, -2],
    }  # fmt: skip


def test_an_alias_stands_for_its_anchor() -> None:
    assert yamltext.read("a: &x {b: 1}\nc: [*x, *x]") == {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "line 2, column 1: the name 'a' stands twice"),
        ("!!python/object/apply:os.system [x]", "tags are not read"),
        ("a: !include /etc/passwd", "tags are not read"),
        ("a: *b", "stands for nothing"),
        ("- &a [*a]", "stands for nothing"),
        ("[" * 100 + "]" * 100, "nested too deep"),
        ("a: b: c", "line 1, column 5: mapping values"),
        ("--- 1\n--- 2", "a second document"),
        ("? [a]\n: b", "a name must be a word"),
        ("a: 1e999", "too large"),
        ("a: '\x00'", "control characters"),
        ("a: 'b", "found unexpected end of stream"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        yamltext.read(text)


def _bombs() -> dict[str, str]:
    names = "abcdefghij"
    laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{here}: &{here} [{','.join([f'*{before}'] * 10)}]\n"
        for before, here in itertools.pairwise(names)
    )
    return {
        "aliases of aliases": laughs,
        "one long text many times": f"a: &a {'x' * 900_000}\nb: [{','.join(['*a'] * 9_000)}]",
        "many items": "- a\n" * 260_000,
        "many names": "".join(f"a{n}: 1\n" for n in range(100_000)),
        "deep": "{a: " * 200_000,
    }


@pytest.mark.parametrize("name", list(_bombs()))
def test_a_bomb_is_refused_before_anything_is_made_of_it(name: str) -> None:
    text = _bombs()[name]
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"larger than|nested too deep"):
            yamltext.read(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 24 * 1024**2
