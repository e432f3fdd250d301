"""Text made to fit."""

import re
import unicodedata


def slug(title):
    """A title as it may stand in a URL: `Crème brûlée!` becomes `creme-brulee`."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def truncate(text, limit, ending="…"):
    # TODO: say in a docstring whether the ending counts
    if len(text) <= limit:
        return text
    return text[:limit].rstrip() + ending
