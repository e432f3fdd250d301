"""What is not let in, and what its sender is told."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile

import pytest
import zstandard

from knify import errors
from knify.archives import entries
from tests.archives import packing, reading

FORMS = ["tar", "tar.gz", "tar.zst"]


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (packing.file("/etc/passwd"), "'/etc/passwd' is absolute"),
        (packing.file("a/../../b"), "'a/../../b' goes up with '..'"),
        (packing.file("new\nline"), r"'new\\nline' holds a control character"),
        (packing.file("csi\x9b31m"), "control character"),
        (packing.file("bad\udcff"), "is not UTF-8: rename it"),
        (packing.file("/".join(["d"] * 65)), "more than 64 folders deep"),
        (packing.file("x" * 256), "a part of more than 255 bytes"),
        (packing.file("/".join(["x" * 99] * 11)), "a name of more than 1024 bytes"),
        (packing.special("fifo", tarfile.FIFOTYPE), "'fifo' is a FIFO: leave it out"),
        (packing.special("disk", tarfile.BLKTYPE), "'disk' is a device"),
        (packing.special("tty", tarfile.CHRTYPE), "'tty' is a device"),
        (packing.special("hard", tarfile.LNKTYPE, "a"), "hard link: pack with tar --hard-deref"),
        (packing.special("odd", b"Z"), "of the unknown type 'Z'"),
        (packing.link("l", "/etc/passwd"), "'l' leads to '/etc/passwd'"),
        (packing.link("l", ".."), "'l' leads to '..'"),
        (packing.link("x/l", "../../x"), "'x/l' leads to"),
        (packing.link("x/b/l", "x/../../.."), "'x/b/l' leads to"),
        (packing.link("x/b/l", "x/../y"), "with '..' at their start only"),
        (packing.link("l", ""), "'l' leads to ''"),
        (packing.link("l", "a\x1bb"), "target of the symlink 'l', 'a\\\\x1bb' holds a control"),
        (packing.file("a"), "'a' twice"),
        (packing.folder("a"), "'a' is both a file and a folder"),
        (packing.file("a/b"), "'a' is both a file and a folder"),
        (packing.link("a", "b"), "'a' is both a file and a symlink"),
    ],
)  # fmt: skip
def test_a_hostile_entry_is_named_and_refused(member: tarfile.TarInfo, reason: str) -> None:
    message = reading.refusal(packing.tar(("a", b"x"), ("c", b"x"), member))

    assert reason.replace("\\\\", "\\") in message


def test_nothing_may_lie_below_a_symlink() -> None:
    content = packing.tar(packing.link("l", "folder"), ("l/x", b"x"))

    assert "'l' is both a symlink and a folder" in reading.refusal(content)


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (packing.zip_info("../x", 0o100644), "goes up with '..'"),
        (packing.zip_info("/x", 0o100644), "is absolute"),
        (packing.zip_info("a\\b", 0o100644), "backslash"),
        (packing.zip_info("pipe", stat.S_IFIFO | 0o644), "device or FIFO"),
        (packing.zip_info("link", stat.S_IFLNK | 0o777), "leads to '/etc/passwd'"),
        (packing.zip_info("a", 0o100644), "'a' twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_zip_entry_is_named_and_refused(info: zipfile.ZipInfo, reason: str) -> None:
    content = packing.zipped(("a", b"x"), (info, b"/etc/passwd"))

    assert reason in reading.refusal(content)


def test_an_encrypted_zip_is_refused() -> None:
    content = bytearray(packing.zipped(("a", b"x")))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1

    assert "'a' is encrypted" in reading.refusal(bytes(content))


def test_a_zip_that_lies_about_a_size_is_refused() -> None:
    content = packing.zipped(("a", bytes(50)))
    central = content.index(b"PK\x01\x02")
    longer = content[: central + 24] + (500).to_bytes(4, "little") + content[central + 28 :]

    assert "'a'" in reading.refusal(longer)


@pytest.mark.parametrize("form", [*FORMS, "zip"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.8])
def test_an_archive_that_is_cut_off_is_refused(form: str, kept: float) -> None:
    members = [(f"file{number}", bytes([number]) * 3_000) for number in range(20)]
    whole = (
        packing.zipped(*members) if form == "zip" else packing.packed(packing.tar(*members), form)
    )

    message = reading.refusal(whole[: int(len(whole) * kept)])

    assert "upload it again" in message


def test_a_gzip_with_a_wrong_checksum_is_refused() -> None:
    content = bytearray(gzip.compress(packing.tar(("a", b"x"))))
    content[-8] ^= 1

    assert "damaged" in reading.refusal(bytes(content))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an archive"),
        (b"hello", "not an archive"),
        (bytes(10_240), "not an archive"),
        (b"BZh91AY", "bzip2 archives are not supported: upload a .tar.gz"),
        (b"\xfd7zXZ\0\0", "xz archives"),
        (gzip.compress(b"one file, no tar" * 100, mtime=0), "damaged"),
        (packing.tar(), "not an archive"),
        (gzip.compress(packing.tar(), mtime=0), "empty"),
        (packing.zipped(), "empty"),
        (packing.tar(packing.folder("only")), "empty"),
        (packing.tar(("a", b"x")) + packing.tar(("b", b"x")), "goes on behind its end"),
    ],
)
def test_what_is_no_archive_is_told_so(content: bytes, reason: str) -> None:
    assert reason in reading.refusal(content)


def test_a_bomb_is_stopped_early() -> None:
    bomb = gzip.compress(packing.tar(("zeros", bytes(100 * 1024**2))), 1)

    with pytest.raises(errors.TooLarge, match="more than 200 times its size"):
        reading.normalised(bomb)


@pytest.mark.parametrize("form", [*FORMS, "zip"])
def test_more_bytes_than_allowed_are_too_large(form: str) -> None:
    members = [("a", bytes(600)), ("b", bytes(600))]
    tar = packing.packed(packing.tar(*members), form)
    content = packing.zipped(*members) if form == "zip" else tar

    reading.normalised(content, entries.Limits(size=1200))
    with pytest.raises(errors.TooLarge, match=r"more than 1\.2 KiB: leave out"):
        reading.normalised(content, entries.Limits(size=1199))


def test_folders_that_are_only_implied_count_too() -> None:
    content = packing.tar(("a/b/c/d", b""), ("e", b""))

    reading.normalised(content, entries.Limits(entries=5))
    with pytest.raises(errors.TooLarge, match="more than 4 entries"):
        reading.normalised(content, entries.Limits(entries=4))


def test_a_huge_extended_header_is_refused_before_it_is_read() -> None:
    header = packing.special("pax", tarfile.XHDTYPE)
    header.size = 2**30

    message = reading.refusal(header.tobuf(tarfile.USTAR_FORMAT) + bytes(10_240))

    assert "too long a name" in message


def test_a_negative_size_is_refused() -> None:
    info = packing.file("a")
    info.size = -512

    assert "negative" in reading.refusal(gzip.compress(info.tobuf(tarfile.GNU_FORMAT)))


def test_a_zstd_stream_that_wants_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=0)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    content = packer.compress(packing.tar(("a", b"x"))) + packer.flush()

    assert "damaged" in reading.refusal(content)


def test_a_name_in_two_forms_of_unicode_is_one_name() -> None:
    content = packing.tar(("caf\u00e9/a", b"x"), ("cafe\u0301/b", b"x"), ("z", b"x"))

    assert "the same name in another form of Unicode" in reading.refusal(content)


def test_what_follows_a_compressed_archive_is_refused() -> None:
    tar = packing.tar(("a", b"x"))
    for form, more in (("tar.gz", b"more"), ("tar.zst", b"more"), ("tar", b"more")):
        assert "a" in reading.refusal(packing.packed(tar, form) + more)
    second = gzip.compress(packing.tar(("b", b"x")))
    assert "goes on behind its end" in reading.refusal(gzip.compress(tar) + second)


def test_one_tar_in_several_gzip_members_is_one_tar() -> None:
    tar = packing.tar(("a", b"x" * 5_000), ("b", b"y"))

    found = reading.normalised(gzip.compress(tar[:2_000]) + gzip.compress(tar[2_000:]))

    assert found["a"][1] == b"x" * 5_000


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"path": "../up"}, "goes up with '..'"),
        ({"path": "/etc/passwd"}, "is absolute"),
        ({"path": "a"}, "twice"),
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, "sparse file"),
        ({"size": "-1"}, "makes no sense"),
        ({"size": "9" * 19}, "makes no sense"),
    ],
)
def test_what_pax_headers_say_counts(headers: dict[str, str], reason: str) -> None:
    info = packing.file("innocent", b"")
    info.pax_headers = headers

    content = packing.tar(("a", b"x"), info, format=tarfile.PAX_FORMAT)

    assert reason in reading.refusal(content)


def test_a_zip_whose_entries_share_their_bytes_is_a_bomb() -> None:
    members = [(f"f{n:03}", bytes(1024**2)) for n in range(100)]
    content = packing.zipped(*members)
    end = content.index(b"PK\x01\x02")
    first = content[: content.index(b"PK\x03\x04", 4)]
    table = b"".join(
        entry[:42] + bytes(4) + entry[46:]
        for entry in (b"PK\x01\x02" + part for part in content[end:].split(b"PK\x01\x02")[1:])
    )
    tail = table.index(b"PK\x05\x06")
    closing = table[tail:]
    bomb = first + table[:tail] + closing[:16] + len(first).to_bytes(4, "little") + closing[20:]

    with pytest.raises(errors.BadRequest):
        reading.normalised(bomb)


def test_a_zip64_is_read_like_any_zip() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(b"alpha")

    assert reading.normalised(out.getvalue())["a"][1] == b"alpha"
