from __future__ import annotations

import gzip
import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from command_line import Longcut, Refused
from PIL import Image

from longcut.data.fetching import download, fetch, sources
from longcut.data.fetching.sources import Archive, Source
from longcut.data.fetching.stl10 import read_planes, write_stl10

CONTENT = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()

STL10 = {"train": 2, "test": 1, "unlabeled": 3}


@dataclass
class Host:
    """What the server on this machine has, does wrong, and was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    breaks: int = 0  # answers that end in the middle
    resumes: bool = True
    status: int = 200
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def host() -> Iterator[Host]:
    state = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            name = self.path.rsplit("/", 1)[-1]
            if name not in state.files or state.status != 200:
                self.send_error(404 if name not in state.files else state.status)
                return
            content = state.files[name]
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.resumes else 0
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = len(content)
            if state.breaks:
                state.breaks -= 1
                end = start + (end - start) // 2
            self.wfile.write(content[start:end])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def tar(entries: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            file.addfile(member)
    return buffer.getvalue()


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


def offer(monkeypatch: pytest.MonkeyPatch, host: Host, name: str, content: bytes, **fields: str) -> None:
    """Put a data set of one file into the table."""
    host.files[name] = content
    archive = Archive(f"{host.url}/{name}", **fields)
    monkeypatch.setitem(sources.SOURCES, "toy", Source((archive,), "free", "files"))


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_set_is_fetched_checked_and_unpacked(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str]
) -> None:
    content = tar({"top/train/a b.txt": b"one", "top/ö.txt": b"two"})
    offer(monkeypatch, host, "toy.tar.gz", content, checksum=md5(content))
    out = fetch.fetch("toy", tmp_path / "toy", say=said.append)
    assert (out / "train/a b.txt").read_bytes() == b"one"
    assert (out / "ö.txt").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
    assert said == ["toy: free", "unpacking toy.tar.gz", f"{out}: files"]


def test_zip_is_unpacked_and_a_missing_checksum_is_said(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str]
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a/x.txt", "1")
        file.writestr("b/y.txt", "2")
    offer(monkeypatch, host, "toy.zip", buffer.getvalue())
    out = fetch.fetch("toy", tmp_path / "toy", say=said.append)
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.txt")) == ["a/x.txt", "b/y.txt"]
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    assert f"no checksum is published for toy.zip; this one has sha256:{digest}" in said


def test_the_command_fetches_from_a_mirror(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, longcut: Longcut, refused: Refused
) -> None:
    content = tar({"x.txt": b"1", "y.txt": b"2"})
    host.files["mirrored.tar.gz"] = content
    archive = Archive("https://away.invalid/toy.tar.gz", md5(content))
    monkeypatch.setitem(sources.SOURCES, "toy", Source((archive,), "free", "files"))
    monkeypatch.chdir(tmp_path)
    mirror = "--url", f"{host.url}/mirrored.tar.gz"
    told = longcut("data", "fetch", "toy", "--out", "mine", *mirror)
    assert (told.code, told.out) == (0, "mine\n"), told
    assert (tmp_path / "mine/x.txt").read_bytes() == b"1"
    assert longcut("data", "fetch", "toy", *mirror).out == "toy\n"
    assert (tmp_path / "toy/y.txt").is_file()
    assert "no data set is called 'toys'; take toy" in refused("data", "fetch", "toys")


def test_a_broken_connection_is_taken_up_where_it_broke(host: Host, tmp_path: Path, said: list[str]) -> None:
    host.files["big"] = CONTENT
    host.breaks = 2
    download.download(Archive(f"{host.url}/big", md5(CONTENT)), tmp_path / "big", say=said.append, pause=0)
    assert (tmp_path / "big").read_bytes() == CONTENT
    assert host.asked == [None, "bytes=1500000-", "bytes=2250000-"]
    assert said[0] == "connection broken at 1,500,000 bytes (it ended early); going on"


def test_a_later_call_goes_on_from_what_is_there(host: Host, tmp_path: Path) -> None:
    host.files["big"] = CONTENT
    (tmp_path / "big.part").write_bytes(CONTENT[:1_000_000])
    download.download(Archive(f"{host.url}/big", md5(CONTENT)), tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == CONTENT
    assert host.asked == ["bytes=1000000-"]


def test_a_whole_part_only_gets_its_name(host: Host, tmp_path: Path, said: list[str]) -> None:
    host.files["big"] = CONTENT
    (tmp_path / "big.part").write_bytes(CONTENT)
    download.download(Archive(f"{host.url}/big", md5(CONTENT)), tmp_path / "big", say=said.append, pause=0)
    assert (tmp_path / "big").read_bytes() == CONTENT
    assert host.asked == ["bytes=3000000-"]


def test_a_part_that_is_longer_than_the_file_is_begun_again(host: Host, tmp_path: Path, said: list[str]) -> None:
    host.files["big"] = CONTENT
    (tmp_path / "big.part").write_bytes(CONTENT + b"more")
    download.download(Archive(f"{host.url}/big", md5(CONTENT)), tmp_path / "big", say=said.append, pause=0)
    assert (tmp_path / "big").read_bytes() == CONTENT


def test_a_host_that_does_not_resume_sends_all_again(host: Host, tmp_path: Path) -> None:
    host.files["big"] = CONTENT
    host.resumes = False
    (tmp_path / "big.part").write_bytes(b"x" * 1000)
    download.download(Archive(f"{host.url}/big", md5(CONTENT)), tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == CONTENT


def test_a_host_that_stays_out_of_order_is_given_up(host: Host, tmp_path: Path, said: list[str]) -> None:
    host.files["big"] = CONTENT
    host.status = 503
    with pytest.raises(ValueError, match=r"keeps breaking \(503 .*is kept: run the command again"):
        download.download(Archive(f"{host.url}/big"), tmp_path / "big", say=said.append, pause=0)
    assert len(host.asked) == 5


def test_a_wrong_checksum_keeps_the_file_aside(host: Host, tmp_path: Path) -> None:
    host.files["big"] = CONTENT
    archive = Archive(f"{host.url}/big", "md5:" + "0" * 32)
    with pytest.raises(ValueError, match=r"has md5 \w+ where 0+ is published; kept as .*big.wrong: run"):
        download.download(archive, tmp_path / "big")
    assert [path.name for path in tmp_path.iterdir()] == ["big.wrong"]
    assert (tmp_path / "big.wrong").read_bytes() == CONTENT


def test_a_missing_file_says_what_to_do_by_hand(host: Host, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"/gone answers 404 .*; download it by hand from http://.*/gone to .*/gone and"
    ):
        download.download(Archive(f"{host.url}/gone"), tmp_path / "gone")


def test_offline_is_one_line_at_once_and_a_file_put_there_by_hand_is_taken(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    content = tar({"x.txt": b"1", "y.txt": b"2"})
    url = f"http://127.0.0.1:{port}/toy.tar.gz"
    monkeypatch.setitem(sources.SOURCES, "toy", Source((Archive(url, md5(content)),), "free", "files"))
    with pytest.raises(ValueError, match=rf"^cannot reach 127.0.0.1:{port} \(.*\); download it by hand from") as caught:
        fetch.fetch("toy", tmp_path / "toy", say=said.append)
    assert str(caught.value).endswith(f"from {url} to {tmp_path}/toy.downloads/toy.tar.gz and run the command again")
    assert "\n" not in str(caught.value)
    (tmp_path / "toy.downloads/toy.tar.gz").write_bytes(content)
    assert (fetch.fetch("toy", tmp_path / "toy", say=said.append) / "y.txt").read_bytes() == b"2"


def test_an_existing_destination_is_left_as_it_is(host: Host, tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    fetch.fetch("mnist", tmp_path / "mine", url=host.url, say=said.append)
    assert (tmp_path / "mine/notes.txt").read_text() == "keep"
    assert said == [
        f"{tmp_path}/mine exists and is left as it is; to fetch mnist anew, delete it or name another folder"
    ]
    assert host.asked == []


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "a/../../evil.txt", "C:\\evil.txt", "..\\evil.txt"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_that_climbs_out_is_refused(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, name: str
) -> None:
    content = tar({"good.txt": b"1", name: b"2"})
    if kind == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("good.txt", "1")
            file.writestr(name, "2")
        content = buffer.getvalue()
    offer(monkeypatch, host, "toy", content)
    with pytest.raises(ValueError, match="lies outside the folder it is unpacked into: refused"):
        fetch.fetch("toy", tmp_path / "deep/toy", say=lambda _: None)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [
        "deep/toy.downloads/toy"
    ]


def test_links_are_refused(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer(monkeypatch, host, "toy.tar.gz", tar({}, {"link": "/etc"}))
    with pytest.raises(ValueError, match="'link', a link or a device: refused"):
        fetch.fetch("toy", tmp_path / "toy", say=lambda _: None)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        file.writestr(member, "/etc")
    offer(monkeypatch, host, "toy.zip", buffer.getvalue())
    with pytest.raises(ValueError, match="'link', a link or a device: refused"):
        fetch.fetch("toy", tmp_path / "toy", say=lambda _: None)
    assert not (tmp_path / "toy").exists()


@pytest.mark.parametrize("cut", [100, -200])
def test_a_damaged_archive_leaves_no_destination(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cut: int
) -> None:
    offer(monkeypatch, host, "toy.tar.gz", tar({"x": CONTENT[:100_000]})[:cut])
    with pytest.raises(
        ValueError, match=r"toy\.tar\.gz is damaged or no archive .*; delete it and run the command again"
    ):
        fetch.fetch("toy", tmp_path / "toy", say=lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.downloads"]


def test_a_set_that_cannot_fit_is_refused_before_the_download(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = Source((Archive(f"{host.url}/huge.tar", None, 10**15),), "free", "files")
    monkeypatch.setitem(sources.SOURCES, "toy", source)
    with pytest.raises(ValueError, match=r"GB free and 2000000\.0 GB are needed; make room"):
        fetch.fetch("toy", tmp_path / "toy", say=lambda _: None)
    assert host.asked == []


def test_mnist_becomes_class_folders(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    archives = []
    images = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
    labels = np.array([7, 0, 7], np.uint8)
    for archive in sources.SOURCES["mnist"].archives:
        array = images if "images" in archive.filename else labels
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        host.files[archive.filename] = gzip.compress(header + array.tobytes())
        archives.append(Archive(archive.url, md5(host.files[archive.filename])))
    convert = sources.SOURCES["mnist"].convert
    monkeypatch.setitem(sources.SOURCES, "mnist", Source(tuple(archives), "free", "digits", convert))
    out = fetch.fetch("mnist", tmp_path / "mnist", url=host.url, say=lambda _: None)
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert found == [f"{split}/{name}.png" for split in ("test", "train") for name in ("0/00001", "7/00000", "7/00002")]
    with Image.open(out / "train/7/00002.png") as image:
        np.testing.assert_array_equal(np.asarray(image), images[2])


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match="no data set is called 'waterbird'; take waterbirds"):
        fetch.fetch("waterbird", Path("x"))


def test_only_web_addresses_are_asked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="file:///etc/passwd is no http or https address"):
        download.download(Archive("file:///etc/passwd"), tmp_path / "x")


def test_the_table_is_well_formed() -> None:
    for source in sources.SOURCES.values():
        names = [archive.filename for archive in source.archives]
        assert len(set(names)) == len(names)
        for archive in source.archives:
            assert archive.url.startswith("https://")
            assert "?" not in archive.url
            if archive.checksum:
                algorithm, _, digest = archive.checksum.partition(":")
                assert len(digest) == 2 * hashlib.new(algorithm).digest_size


def test_stl10_becomes_class_folders_and_a_flat_one(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels = {name: generator.integers(0, 256, (count, 96, 96, 3), np.uint8) for name, count in STL10.items()}
    files = {f"{name}_X.bin": stored.transpose(0, 3, 2, 1).tobytes() for name, stored in pixels.items()}
    files |= {"train_y.bin": bytes([2, 1]), "test_y.bin": bytes([1]), "class_names.txt": b"airplane\nbird\n"}
    with tarfile.open(tmp_path / "stl10_binary.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"stl10_binary/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    write_stl10(tmp_path, tmp_path / "stl10")
    expected = {
        "train/bird/000000.png": pixels["train"][0],
        "train/airplane/000001.png": pixels["train"][1],
        "test/airplane/000000.png": pixels["test"][0],
        "unlabeled/000002.png": pixels["unlabeled"][2],
    }
    for file, image in expected.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / "stl10" / file)), image)
    assert len(list((tmp_path / "stl10").rglob("*.png"))) == 6


def test_stl10_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train_X.bin").write_bytes(b"\0" * 1000)
    with pytest.raises(ValueError, match="cut short"):
        read_planes(tmp_path / "train_X.bin")
