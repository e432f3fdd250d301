"""Tables that operators write as YAML or JSON, read without making anything of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_MAX_BYTES: Final = 1024**2


def read(path: Path, wrong: Callable[[str], Exception]) -> Any:
    """What the file holds; `wrong` makes the error of a reason."""
    from ruamel.yaml import YAML  # late: few installations have such a file
    from ruamel.yaml.error import YAMLError

    try:
        with path.open("rb") as file:
            return YAML(typ="safe", pure=True).load(file.read(_MAX_BYTES))
    except OSError as failed:
        raise wrong(f"cannot be read: {failed.strerror}") from failed
    except (YAMLError, ValueError, TypeError, RecursionError) as failed:
        raise wrong(f"is not valid YAML: {' '.join(str(failed).split())[:200]}") from failed
