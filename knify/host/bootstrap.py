"""Makes a root file system from the host's own Debian or Ubuntu packages: no registry needed."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from knify import errors

_APT = Path("/etc/apt")
_SECONDS = 1_800
_GRACE_SECONDS = 60
_OFFICIAL_KEYS = ("debian-archive", "ubuntu-archive")


def suite() -> str:
    """The host's release, such as `bookworm` or `noble`."""
    release = platform.freedesktop_os_release()
    return release.get("VERSION_CODENAME") or release.get("UBUNTU_CODENAME") or "stable"


def sources(apt: Path = _APT, codename: str | None = None) -> list[str]:
    """The host's own package sources for its release as one-line entries.

    Sources of third parties are left out. `APT_SOURCES` (lines of sources.list) replaces all.
    """
    given = os.environ.get("APT_SOURCES", "").strip()
    if given:
        return given.splitlines()
    name = codename or suite()
    found = []
    for path in sorted([apt / "sources.list", *(apt / "sources.list.d").glob("*")]):
        if path.suffix in (".list", ".sources") and path.is_file():
            form = _stanzas if path.suffix == ".sources" else _lines
            found += list(form(path.read_text(), name))
    return found


def into(
    import_command: list[str],
    packages: list[str],
    recipe: Path,
    certificates: list[Path],
    say: Callable[[str], None],
) -> None:
    """Pipe the new root file system, a tar, into `import_command`.

    `recipe` holds `slim.conf` and `finish.sh`. Raises SandboxError with what went wrong.
    """
    if shutil.which("mmdebstrap") is None:
        raise errors.SandboxError("no registry is reachable and mmdebstrap is not installed")
    with tempfile.TemporaryDirectory(prefix="knify-apt-") as folder:
        listed = Path(folder) / "sources.list"
        listed.write_text("\n".join(sources()) + "\n")
        argv = _command(packages, recipe, certificates)
        argv += [str(listed)] if listed.read_text().strip() else []
        _pipe(argv, import_command, say)


def _command(packages: list[str], recipe: Path, certificates: list[Path]) -> list[str]:
    copied = [("/tmp", recipe / "finish.sh")]  # noqa: S108 - inside the new root
    copied += [("/usr/local/share/ca-certificates", path) for path in certificates]
    hooks = [f"copy-in {shlex.quote(str(path))} {place}" for place, path in copied]
    # The host's name and resolver stand there for the installation's time only.
    hooks.append(
        'chroot "$1" sh /tmp/finish.sh && '
        'rm -f "$1/tmp/finish.sh" "$1/etc/hostname" "$1/etc/resolv.conf"'
    )
    return [
        *("mmdebstrap", "--variant=minbase", "--format=tar"),
        f"--dpkgopt={recipe / 'slim.conf'}",
        '--aptopt=Acquire::Languages "none"',
        # On Ubuntu the smallest variant comes without apt, which images above this one need.
        f"--include={','.join(['apt', *packages])}",
        *(f"--customize-hook={hook}" for hook in hooks),
        *(suite(), "-"),
    ]


def _pipe(producer_argv: list[str], consumer_argv: list[str], say: Callable[[str], None]) -> None:
    producer = subprocess.Popen(
        producer_argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | _proxies(),
        start_new_session=True,  # to be ended as a whole
    )
    with producer:
        said: list[str] = []
        assert producer.stdout and producer.stderr
        reader = threading.Thread(target=_relay, args=(producer.stderr, said, say), daemon=True)
        reader.start()
        try:
            done = subprocess.run(
                consumer_argv,
                stdin=producer.stdout,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
            producer.stdout.close()
            code = producer.wait(timeout=60)
        except BaseException:
            _end(producer)
            raise
        reader.join(timeout=5)
    if code != 0:
        raise errors.SandboxError("mmdebstrap failed: " + _reason(said))
    if done.returncode != 0:
        raise errors.SandboxError(f"podman import failed: {done.stderr.decode(errors='replace')}")


def _end(producer: subprocess.Popen[bytes]) -> None:
    """All its processes. mmdebstrap's last one removes the root file system, when it may."""
    assert producer.stdout
    producer.stdout.close()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(producer.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            producer.wait(timeout=_GRACE_SECONDS)
        os.killpg(producer.pid, signal.SIGKILL)


def _proxies() -> dict[str, str]:
    """The host's proxies of apt, as variables: as options they would stay in the image."""
    found = {}
    for scheme in ("http", "https"):
        argv = ["apt-config", "dump", "--format", "%v", f"Acquire::{scheme}::Proxy"]
        value = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
        if value and value != "DIRECT":
            found[f"{scheme}_proxy"] = value
    return found


def _reason(said: list[str]) -> str:
    """The first errors of apt and mmdebstrap; what follows them is only their consequence."""
    wrong = [line for line in said if line.startswith(("E: ", "Err:", "W: Failed"))]
    return " / ".join((wrong or said[-3:])[:3])


def _relay(stream: IO[bytes], said: list[str], say: Callable[[str], None]) -> None:
    for raw in stream:
        line = raw.decode(errors="replace").strip()
        said.append(line)
        del said[:-200]
        if line.startswith("I: ") and line.endswith("..."):
            say(line[3:])


def _wanted(suites: list[str], codename: str) -> list[str]:
    kinds = (codename, f"{codename}-updates", f"{codename}-security")
    return [name for name in suites if name in kinds]


def _official(signed_by: str) -> bool:
    return not signed_by or any(key in signed_by for key in _OFFICIAL_KEYS)


def _stanzas(text: str, codename: str) -> Iterator[str]:
    """One-line entries of a deb822 file."""
    for stanza in text.split("\n\n"):
        pairs = [line.split(":", 1) for line in stanza.splitlines() if _is_field(line)]
        fields = {name.strip().lower(): value.strip() for name, value in pairs}
        signed, components = fields.get("signed-by", ""), fields.get("components", "")
        if "deb" not in fields.get("types", "").split() or "main" not in components.split():
            continue
        if fields.get("enabled", "yes") == "no" or not _official(signed):
            continue
        option = f"[signed-by={signed}] " if signed.startswith("/") else ""
        for uri in fields.get("uris", "").split():
            for name in _wanted(fields.get("suites", "").split(), codename):
                yield f"deb {option}{uri} {name} {components}"


def _is_field(line: str) -> bool:
    return ":" in line and not line.startswith(("#", " ", "\t"))


def _lines(text: str, codename: str) -> Iterator[str]:
    """The entries of a sources.list that are for this release."""
    for line in text.splitlines():
        rest = line.strip()
        if not rest.startswith("deb "):
            continue
        option, _, plain = rest.partition("]") if "[" in rest else ("", "", rest[4:])
        fields = plain.split()
        if len(fields) >= 3 and "main" in fields[2:] and _wanted(fields[1:2], codename):
            signed = option.partition("signed-by=")[2].split(" ")[0]
            if _official(signed):
                yield rest
