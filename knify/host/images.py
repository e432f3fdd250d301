"""Builds sandbox images from their recipes, and only when a recipe changed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from knify import errors
from knify import settings as settings_module
from knify.host import bootstrap, containers_conf, mirrors, podman, probe, recipes, wheels

Say = Callable[[str], None]

RECIPE_LABEL = "knify.recipe"
INSTALLATION_LABEL = "knify.installation"  # images are shared: it only says who built one
_BUILD_SECONDS = 1_800
_REGISTRY_SECONDS = 5
# The Containerfile's own settings, for an image that is imported instead of built.
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_BUNDLE_NAMES = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE")
_CHANGES = (
    "ENV LANG=C.UTF-8",
    "ENV HOME=/home/agent",
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    *(f"ENV {name}={_BUNDLE}" for name in _BUNDLE_NAMES),
    "USER agent",
    "WORKDIR /workspace",
    'CMD ["bash"]',
)


def exists(image: str) -> bool:
    """Whether an image is in this host's store."""
    return podman.call("image", "exists", image).ok


@dataclass(frozen=True, slots=True)
class Image:
    """One in this host's store."""

    digest: str
    size: int  # bytes
    installation: str | None  # that built it


def look(image: str) -> Image | None:
    """What the store knows of an image; None when it is not there."""
    answer = podman.call("image", "inspect", image)
    if not answer.ok:
        return None
    seen = json.loads(answer.out)[0]
    owner = (seen.get("Labels") or {}).get(INSTALLATION_LABEL)
    return Image(seen.get("Digest", ""), seen.get("Size", 0), owner)


def current(name: str) -> bool:
    """Whether a recipe's image is there and made from the recipe as it is now."""
    if not recipes.shipped():
        return exists(f"{recipes.PREFIX}{name}:latest")
    recipe = recipes.load(name)
    return _labels(recipe.tag).get(RECIPE_LABEL) == recipe.digest()


def ensure_base(settings: settings_module.Settings, say: Say) -> None:
    """Make sure that the base image is there: takes no time unless its recipe changed.

    An operator's own base image (`KNIFY_BASE_IMAGE`) is never built, only looked for.
    Raises ConfigError when that is missing, SandboxError when a build fails.
    """
    if settings.base_image == recipes.BASE_TAG:
        ensure(settings, "base", say)
    elif not exists(settings.base_image):
        raise errors.ConfigError(f"the base image {settings.base_image} is not on this host")


def ensure(settings: settings_module.Settings, name: str, say: Say) -> None:
    """Build a recipe's image, and the one below it, unless they are current."""
    if not current(name):
        build(settings, name, say)


def build(settings: settings_module.Settings, name: str, say: Say) -> str:
    """Build a recipe's image now and return its tag; the image before it is removed if unused.

    The tag moves only when the build has succeeded. `say` gets a line at each step.
    """
    recipe = recipes.load(name)
    if recipe.parent:
        ensure(settings, recipe.parent, say)
    before = podman.call("image", "inspect", "--format", "{{.Id}}", recipe.tag)
    fresh = f"{recipes.PREFIX}building:{secrets.token_hex(6)}"
    try:
        if _has_base(recipe, say):
            _build(settings, recipe, fresh, say)
        else:
            _bootstrap(settings, recipe, fresh, say)
        _must(podman.call("tag", fresh, recipe.tag), "podman tag")
    finally:
        # By its name: with another tag on it, this takes away only the name.
        podman.call("rmi", fresh, timeout=120)
    if before.ok:
        _drop_untagged(before.out.strip())
    return recipe.tag


def _build(settings: settings_module.Settings, recipe: recipes.Recipe, tag: str, say: Say) -> None:
    found = probe.facts_or_probe(settings)
    conf = containers_conf.write(settings, found)
    say(f"building {recipe.name} on {recipe.base}")
    given = {"BASE": recipe.base, **mirrors.given(recipe.arguments)}
    with tempfile.TemporaryDirectory(prefix="knify-build-") as folder:
        context = Path(folder) / "context"
        shutil.copytree(recipe.folder, context)
        (context / "ca").mkdir()
        for path in recipes.certificates():
            shutil.copy(path, context / "ca")
        if recipe.requirements:
            given["PYTHON"] = _python(recipe.base, conf)
            say(f"fetching its Python packages for Python {given['PYTHON']}")
            wheels.into(context / "python", recipe.requirements, given["PYTHON"])
        options = (
            *("--pull=never", "--network=host", "--layers=false", "--tag", tag),
            *(f"--label={label}" for label in _own_labels(settings, recipe)),
            *(f"--build-arg={key}={value}" for key, value in given.items()),
            *(f"--ulimit={kind}={getattr(found, kind)}" for kind in ("nofile", "nproc")),
            *(_trust() if recipe.parent else ()),
        )
        built = podman.call("build", *options, str(context), conf=conf, timeout=_BUILD_SECONDS)
    _must(built, f"building {recipe.name}")


def _python(image: str, conf: Path) -> str:
    """The version of an image's Python, like 3.11."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    answer = probe.Prober(image, conf).run(command=("python3", "-c", ask))
    _must(answer, f"asking {image} for its Python")
    return answer.out.strip()


def _trust() -> tuple[str, ...]:
    """What this host trusts, the build trusts: in place of the image's own list, while it lasts."""
    ours = os.environ.get("SSL_CERT_FILE") or _BUNDLE
    return (f"--volume={ours}:{_BUNDLE}:ro",) if Path(ours).is_file() else ()


def _bootstrap(
    settings: settings_module.Settings, recipe: recipes.Recipe, tag: str, say: Say
) -> None:
    if not recipe.packages:
        raise errors.SandboxError(f"{recipe.base} is not here and its registry is not reachable")
    say(f"no registry is reachable: bootstrapping {recipe.name} from packages")
    changes = [*_CHANGES, *(f"LABEL {label}" for label in _own_labels(settings, recipe))]
    argv = ["podman", "import", "--quiet", *(f"--change={line}" for line in changes), "-", tag]
    bootstrap.into(argv, recipe.packages, recipe.folder, recipes.certificates(), say)


def _drop_untagged(image_id: str) -> None:
    """Remove an image that lost its last name; Podman keeps one that a container uses."""
    tags = podman.call("image", "inspect", "--format", "{{len .RepoTags}}", image_id)
    if tags.ok and tags.out.strip() == "0":
        podman.call("rmi", image_id, timeout=120)


def _own_labels(settings: settings_module.Settings, recipe: recipes.Recipe) -> list[str]:
    """What it is, what it was made from, and, once that has a name, by which installation."""
    marker = settings.home / "installation"
    own = [f"{INSTALLATION_LABEL}={marker.read_text().strip()}"] if marker.is_file() else []
    return [f"knify.image={recipe.name}", f"{RECIPE_LABEL}={recipe.digest()}", *own]


def _has_base(recipe: recipes.Recipe, say: Say) -> bool:
    """Whether the image below is in the store, if need be after pulling it."""
    if exists(recipe.base):
        return True
    if not _reachable(_registry(recipe.base)):
        return False
    say(f"pulling {recipe.base}")
    return podman.call("pull", "--quiet", recipe.base, timeout=600).ok


def _registry(image: str) -> str:
    host = image.partition("/")[0]
    return "registry-1.docker.io" if host == "docker.io" else host


def _reachable(host: str) -> bool:
    """Whether a registry answers at all: 401 is how a public one greets a stranger."""
    try:
        with urllib.request.urlopen(f"https://{host}/v2/", timeout=_REGISTRY_SECONDS):
            return True
    except urllib.error.HTTPError as refused:
        return refused.code == 401
    except OSError:
        return False


def _labels(image: str) -> dict[str, str]:
    answer = podman.call("image", "inspect", "--format", "{{json .Labels}}", image)
    labels: dict[str, str] | None = json.loads(answer.out) if answer.ok else None
    return labels or {}


def _must(answer: podman.Answer, what: str) -> None:
    if not answer.ok:
        tail = "\n".join((answer.out + answer.err).strip().splitlines()[-15:])
        raise errors.SandboxError(f"{what} failed: {tail}")
