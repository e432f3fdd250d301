"""How many words, and which."""

import re
from collections import Counter

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


def word_count(text):
    """The number of words; `don't` is one."""
    return len(_WORD.findall(text))


def most_common(text, count=3):
    """The words seen most often, in lower case, ties in the order of their first use."""
    words = Counter(word.lower() for word in _WORD.findall(text))
    return [word for word, _ in words.most_common(count)]
