from __future__ import annotations

import contextlib
import io
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from knify import errors, settings
from knify.objects import base, folder, master, sealed
from tests.parts import disk

MIB = 1024**2


@pytest.fixture
def plain(tmp_path: Path) -> folder.Folder:
    return folder.Folder(tmp_path / "objects")


@pytest.fixture
def vault(plain: folder.Folder, tmp_path: Path) -> sealed.Sealed:
    return sealed.Sealed(plain, master.load_or_make(tmp_path / "master.key"), tmp_path)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3 * MIB])
def test_what_was_sealed_comes_back(vault: sealed.Sealed, size: int) -> None:
    content = os.urandom(size)

    vault.put("archive", [content[: size // 3], content[size // 3 :]])

    with vault.open("archive") as reader:
        assert reader.size == size
        assert reader.read() == content


def test_every_back_end_can_hold_sealed_objects(store: base.ObjectStore, tmp_path: Path) -> None:
    vault = sealed.Sealed(store, master.load_or_make(tmp_path / "master.key"), tmp_path)

    stored = vault.put("archive", [b"x" * MIB] * 10)

    assert stored.sha256 == store.stat("archive").sha256
    assert sum(len(piece) for piece in vault.open("archive")) == 10 * MIB


def test_the_stored_object_does_not_hold_the_plain_text(
    vault: sealed.Sealed, plain: folder.Folder
) -> None:
    vault.put("archive", [b"canary" * 100])

    stored = plain.open("archive").read()

    assert stored.startswith(b"age-encryption.org/v1\n")
    assert b"canary" not in stored


def test_an_operator_can_open_it_with_the_key_file_alone(
    vault: sealed.Sealed, plain: folder.Folder, tmp_path: Path
) -> None:
    vault.put("archive", [b"content"])

    secret = (tmp_path / "master.key").read_text().splitlines()[-1]
    identity = pyrage.x25519.Identity.from_str(secret)

    assert pyrage.decrypt(plain.open("archive").read(), [identity]) == b"content"


@pytest.mark.parametrize("damage", ["cut", "flip", "foreign", "empty", "plain"])
def test_nothing_of_a_damaged_object_is_given_out(
    vault: sealed.Sealed, plain: folder.Folder, damage: str
) -> None:
    vault.put("archive", [os.urandom(200_000)])
    stored = bytearray(plain.open("archive").read())
    stored[-70_000] ^= 1
    other = pyrage.x25519.Identity.generate().to_public()
    plain.put(
        "archive",
        [
            {
                "cut": plain.open("archive").read(150_000),
                "flip": bytes(stored),
                "foreign": pyrage.encrypt(b"content", [other]),
                "empty": b"",
                "plain": b"content",
            }[damage]
        ],
    )

    with pytest.raises(errors.ObjectStoreError, match="archive is damaged or was sealed with"):
        vault.open("archive")


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3 * MIB])
def test_a_copy_gives_the_same_and_its_size_is_known_before(
    vault: sealed.Sealed, size: int
) -> None:
    content, out = os.urandom(size), io.BytesIO()
    vault.put("archive", [content])

    assert vault.size("archive") == size
    vault.copy("archive", out)

    assert out.getvalue() == content


def test_a_copy_of_a_damaged_object_ends_with_an_error(
    vault: sealed.Sealed, plain: folder.Folder
) -> None:
    content, out = os.urandom(200_000), io.BytesIO()
    vault.put("archive", [content])
    plain.put("archive", [plain.open("archive").read(150_000)])

    with pytest.raises(errors.ObjectStoreError, match="archive is damaged"):
        vault.copy("archive", out)

    assert content.startswith(out.getvalue())


def test_what_a_copys_target_raises_passes_through(vault: sealed.Sealed) -> None:
    class Gone:
        def write(self, _: bytes) -> int:
            raise errors.SandboxGone

        def flush(self) -> None:
            pass

    vault.put("archive", [bytes(MIB)])

    with pytest.raises(errors.SandboxGone):
        vault.copy("archive", Gone())


def test_a_missing_object_is_missing(vault: sealed.Sealed) -> None:
    with pytest.raises(errors.ObjectMissing):
        vault.open("nothing")


def test_what_the_source_raises_passes_through_and_nothing_is_stored(
    vault: sealed.Sealed, plain: folder.Folder
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise errors.SandboxGone

    with pytest.raises(errors.SandboxGone):
        vault.put("archive", pieces())

    assert list(plain.list()) == []


def test_a_store_that_fails_while_it_is_read_says_so(
    vault: sealed.Sealed, plain: folder.Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.put("archive", [bytes(MIB)])
    shorter = base.Reader(
        io.BytesIO(plain.open("archive").read(1000)), 2000, contextlib.nullcontext
    )
    monkeypatch.setattr(plain, "open", lambda _key: shorter)

    with pytest.raises(errors.ObjectStoreError, match="ended 1000 bytes early"):
        vault.open("archive")


def test_a_large_archive_is_not_held_in_memory(vault: sealed.Sealed) -> None:
    piece = bytes(MIB)
    vault.put("warm", [piece])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    vault.put("archive", (piece for _ in range(300)))
    total = sum(len(part) for part in vault.open("archive"))

    assert total == 300 * MIB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "home/master.key"

    first = master.load_or_make(path)
    second = master.load_or_make(path)

    assert str(first[0]) == str(second[0])
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    start = threading.Barrier(8)
    seen = set()

    def make() -> None:
        start.wait()
        seen.add(str(master.load_or_make(tmp_path / "master.key")[0]))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 1


def test_an_older_key_below_the_new_one_still_opens(
    vault: sealed.Sealed, plain: folder.Folder, tmp_path: Path
) -> None:
    vault.put("old", [b"old"])
    path = tmp_path / "master.key"
    path.write_text(f"{pyrage.x25519.Identity.generate()}\n{path.read_text()}")

    rotated = sealed.Sealed(plain, master.load_or_make(path), tmp_path)
    rotated.put("new", [b"new"])

    assert rotated.open("old").read() == b"old"
    with pytest.raises(errors.ObjectStoreError):
        vault.open("new")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "AGE-SECRET-KEY-1BROKEN\n", "\0\xff"])
def test_a_broken_key_file_stops_the_start_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(text)
    path.chmod(0o600)

    with pytest.raises(errors.ConfigError, match="no usable age identity") as raised:
        master.load_or_make(path)

    assert "BROKEN" not in raised.value.message


def test_a_key_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    master.load_or_make(tmp_path / "master.key")
    (tmp_path / "master.key").chmod(0o644)

    with pytest.raises(errors.ConfigError, match="chmod 600"):
        master.load_or_make(tmp_path / "master.key")


def test_connect_uses_the_settings_key_and_spool(tmp_path: Path, plain: folder.Folder) -> None:
    config = settings.load({"KNIFY_HOME": str(tmp_path / "home")})

    sealed.connect(config, plain).put("x", [b"x"])

    assert (tmp_path / "home/master.key").exists()
    assert list((tmp_path / "home/tmp").iterdir()) == []


def test_a_full_disk_is_an_error_and_says_what_it_was(
    vault: sealed.Sealed, plain: folder.Folder
) -> None:
    vault.put("large", [bytes(8 * MIB)])

    with disk.full_at(2 * MIB):
        with pytest.raises(errors.ObjectStoreError, match="File too large"):
            vault.put("larger", [bytes(8 * MIB)])
        with pytest.raises(errors.ObjectStoreError, match="File too large"):
            vault.open("large")

    assert [row.key for row in plain.list()] == ["large"]
