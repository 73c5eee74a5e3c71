"""Packages: what is refused, with the sentence the publisher reads, and what is accepted."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.catalog.package import ArchiveError, Limits, extract, inspect_archive, pack
from tests.factories.packages import files_with, write_folder, write_zip, zip_bytes

COPY_IN_CYRILLIC = "\u0441\u043e\u0440\u0443"


def refusal(path: Path, limits: Limits | None = None) -> list[str]:
    with pytest.raises(ArchiveError) as caught:
        inspect_archive(path, limits=limits)
    return [finding.text() for finding in caught.value.findings]


def made(tmp_path: Path, build: Callable[[zipfile.ZipFile], object]) -> Path:
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        build(archive)
    return path


def test_a_packed_folder_is_reproducible_and_comes_back_whole(tmp_path: Path) -> None:
    files = files_with({"__pycache__/x.pyc": b"x", ".git/config": b"x"})
    first = pack(write_folder(tmp_path / "a", files), tmp_path / "a.zip")
    second = pack(write_folder(tmp_path / "b", dict(reversed(files.items()))), tmp_path / "b.zip")
    assert first.sha256 == second.sha256
    report = extract(first.path, tmp_path / "out")
    assert report.sha256 == first.sha256
    assert [entry.path for entry in report.entries] == sorted(files_with({}))
    for path, data in files_with({}).items():
        target = tmp_path / "out" / path
        assert target.read_bytes() == data
        assert stat.S_IMODE(target.stat().st_mode) & 0o111 == 0


def test_pack_refuses_a_link(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "plugin", files_with({}))
    (folder / "models" / "other").symlink_to("/etc/passwd")
    with pytest.raises(
        ArchiveError, match=r"“models/other” is a symbolic link. Put the file itself into the plugin."
    ):
        pack(folder, tmp_path / "a.zip")
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob(".pack-*"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil", "“../evil” points outside the plugin's folder. Remove “..” from the path."),
        ("a/../../evil", "“a/../../evil” points outside the plugin's folder. Remove “..” from the path."),
        ("/etc/evil", "“/etc/evil” is an absolute path. Use paths relative to the plugin's folder."),
        ("C:/evil", "“C:/evil” is an absolute path. Use paths relative to the plugin's folder."),
        ("a\\evil", "“a\\evil” has a backslash. Use “/” between folders and rename the file."),
        ("a//b", "“a//b” has an empty or “.” part. Pack the plugin again."),
        (
            "photo\u202egpj.py",
            "“photo\\u202egpj.py” has a control, invisible or text-direction character. Rename the file.",
        ),
        ("a\nb", "“a\\nb” has a control, invisible or text-direction character. Rename the file."),
        (
            "m\u043edel",
            "“m\u043edel” mixes letters of different alphabets that look the same. Rename the file.",
        ),
        ("docs/nul.txt", "“docs/nul.txt” is a reserved name on Windows. Rename the file."),
        ("a.", "“a.” has a part that ends in a space or dot. Rename the file."),
        (
            "/".join("abcdefghijklmn"),
            "“a/b/c/d/e/f/g/h/i/j/k/l/m/n” is nested too deeply. Use fewer folders.",
        ),
    ],
)
def test_names_that_mean_something_else(tmp_path: Path, name: str, message: str) -> None:
    assert refusal(made(tmp_path, lambda z: z.writestr(name, "x"))) == [message]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("Card.md", "card.md"), "“card.md” and “Card.md” look the same. Rename one of them."),
        (("ﬁle", "file"), "“file” and “ﬁle” look the same. Rename one of them."),
        ((COPY_IN_CYRILLIC, "copy"), f"“copy” and “{COPY_IN_CYRILLIC}” look the same. Rename one of them."),
        (("A/x", "a/y"), "The folders “a” and “A” look the same. Rename one of them."),
        (("a", "a/b"), "“a” is both a file and a folder. Rename one of them."),
    ],
)
def test_names_that_look_alike(tmp_path: Path, names: tuple[str, str], message: str) -> None:
    assert refusal(made(tmp_path, lambda z: [z.writestr(name, "x") for name in names])) == [message]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(tmp_path: Path) -> None:
    path = made(tmp_path, lambda z: [z.writestr("a", "1"), z.writestr("a", "2")])
    assert refusal(path) == ["“a” is in the archive twice. Pack the plugin again."]


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (stat.S_IFLNK | 0o777, "“odd” is a symbolic link. Put the file itself into the plugin."),
        (stat.S_IFCHR | 0o666, "“odd” is not a regular file. Only files and folders are accepted."),
        (stat.S_IFIFO | 0o666, "“odd” is not a regular file. Only files and folders are accepted."),
        (stat.S_IFREG | 0o4755, "“odd” is not a regular file. Only files and folders are accepted."),
    ],
)
def test_what_is_not_a_file(tmp_path: Path, mode: int, message: str) -> None:
    def build(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("odd")
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")

    assert refusal(made(tmp_path, build)) == [message]


def test_a_bomb_is_stopped_while_it_unpacks(tmp_path: Path) -> None:
    path = made(tmp_path, lambda z: z.writestr("zeros.bin", bytes(64 << 20)))
    assert refusal(path) == [
        "“zeros.bin” unpacks to more than 100 times its packed size, as a zip bomb does. Remove the file or shorten it."
    ]


def test_a_bomb_in_a_bomb(tmp_path: Path) -> None:
    inner = zip_bytes({"zeros.bin": bytes(8 << 20)})
    path = made(tmp_path, lambda z: z.writestr("inner.dat", inner))
    message = "“inner.dat” is an archive inside the archive. Put its files into the plugin's folder."
    assert refusal(path) == [message]
    polyglot = made(tmp_path, lambda z: z.writestr("inner.dat", b"%PDF-1.7 " + inner))
    assert refusal(polyglot) == [message]


def test_sizes_and_counts(tmp_path: Path) -> None:
    path = made(tmp_path, lambda z: [z.writestr(f"f{n}", bytes(1000)) for n in range(5)])
    assert refusal(path, Limits(file_bytes=999)) == ["“f0” is larger than 999 bytes. Make the file smaller."]
    assert refusal(path, Limits(total_bytes=2500)) == [
        "The files are larger than 2.4 KiB together. Make the plugin smaller."
    ]
    assert refusal(path, Limits(entries=4)) == [
        "The archive has 5 entries; at most 4 are accepted. Remove files."
    ]
    assert refusal(path, Limits(archive_bytes=100))[0].endswith(
        "at most 100 bytes are accepted. Make the plugin smaller."
    )


def test_a_size_that_the_header_hides_is_counted(tmp_path: Path) -> None:
    """The directory says 10 bytes; what is counted is what comes out."""
    data = bytearray(zip_bytes({"a": bytes(500_000)}))
    local, central = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    struct.pack_into("<L", data, local + 22, 10)
    struct.pack_into("<L", data, central + 24, 10)
    path = tmp_path / "lying.zip"
    path.write_bytes(data)
    assert refusal(path) == ["“a” is damaged in the archive. Pack the plugin again."]
    assert refusal(path, Limits(file_bytes=1000)) == ["“a” is larger than 1000 bytes. Make the file smaller."]


AMBIGUOUS = (
    "The ZIP archive has bytes that belong to no entry, or entries that overlap. Pack the plugin again with "
    "“openclaw plugin pack”."
)


def test_bytes_that_belong_to_nobody(tmp_path: Path) -> None:
    good = zip_bytes({"a": b"1", "b": b"2"})
    path = tmp_path / "odd.zip"
    for data in (b"MZ" + good, good + b"\n", b"PK\x03\x04" + good, good + good):
        path.write_bytes(data)
        with pytest.raises(ArchiveError):
            inspect_archive(path)
    path.write_bytes(good + good)
    assert refusal(path) == [AMBIGUOUS]
    path.write_bytes(good + b"tail")
    assert refusal(path) == [AMBIGUOUS]


def test_entries_that_overlap(tmp_path: Path) -> None:
    """Both directory records point at the first local entry, as in a quoted-overlap bomb."""
    data = bytearray(zip_bytes({"a": b"1" * 50, "b": b"2" * 50}))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    struct.pack_into("<L", data, second + 42, 0)
    path = tmp_path / "overlap.zip"
    path.write_bytes(data)
    assert refusal(path) == [AMBIGUOUS]


def test_local_and_central_names_must_agree(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"seen": b"1"}))
    data[30:34] = b"used"
    path = tmp_path / "two.zip"
    path.write_bytes(data)
    assert refusal(path) == [
        "The archive describes “seen” in two different ways. Pack the plugin again with “openclaw plugin pack”."
    ]


def test_encryption_and_odd_compression(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"a": b"1"}))
    central = data.index(b"PK\x01\x02")
    for offset in (6, central + 8):
        struct.pack_into("<H", data, offset, 1)
    path = tmp_path / "locked.zip"
    path.write_bytes(data)
    assert refusal(path) == ["“a” is encrypted. Pack without a password."]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a", "x")
    assert refusal(path) == ["“a” uses an unusual compression. Pack with “stored” or “deflate”."]


def test_a_streamed_archive_is_accepted(tmp_path: Path) -> None:
    """Data descriptors are what a packer writes that cannot seek."""

    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    stream = Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", "x" * 1000)
        archive.writestr("b", "y")
    path = tmp_path / "streamed.zip"
    path.write_bytes(stream.getvalue())
    assert [entry.size_bytes for entry in inspect_archive(path).entries] == [1000, 1]


def test_nothing_is_left_of_a_refused_archive(tmp_path: Path) -> None:
    path = made(tmp_path, lambda z: [z.writestr("good", "x"), z.writestr("zeros", bytes(8 << 20))])
    with pytest.raises(ArchiveError):
        extract(path, tmp_path / "out")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["made.zip"]


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 100, b"PK\x05\x06" + bytes(18)])
def test_not_an_archive(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with pytest.raises(ArchiveError):
        inspect_archive(path)


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4}){0,3}", fullmatch=True), st.binary(max_size=200), max_size=6
    )
)
def test_what_is_accepted_is_read_as_the_standard_library_does(files: dict[str, bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = write_zip(Path(folder) / "a.zip", files)
        try:
            report = extract(path, Path(folder) / "out")
        except ArchiveError:
            return
        with zipfile.ZipFile(path) as archive:
            assert {entry.path for entry in report.entries} == set(archive.namelist())
            for name in archive.namelist():
                assert (Path(folder) / "out" / name).read_bytes() == archive.read(name)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_bytes_make_the_reader_fail_otherwise(data: st.DataObject) -> None:
    import tempfile

    content = bytearray(zip_bytes({"a": b"1" * 30, "b/c": bytes(100), "é": b""}))
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.zip"
        path.write_bytes(content)
        out = Path(folder) / "out"
        try:
            extract(path, out)
        except ArchiveError as error:
            assert error.findings and all(finding.text() for finding in error.findings)
            assert not out.exists()
        assert {item.name for item in Path(folder).iterdir()} <= {"a.zip", "out"}


@settings(deadline=None, max_examples=100)
@given(names)
def test_any_name_is_judged(name: str) -> None:
    from marketplace.catalog.names import lookalike_key, name_problems

    assert all(finding.text() for finding in name_problems(name))
    assert lookalike_key(name) == lookalike_key(name)
