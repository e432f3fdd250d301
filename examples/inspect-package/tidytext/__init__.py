"""Small functions that tidy up text."""

from tidytext.counting import most_common, word_count
from tidytext.shaping import slug, truncate

__all__ = ["most_common", "slug", "truncate", "word_count"]
