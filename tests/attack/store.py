"""Stores and archives that mean harm: files outside of the folder, versions that are mixed, bodies without an end."""

import http.server
import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from attack.attack import attack
from attack.programs import rebundled
from attack.steps import Steps
from modelward_inference import errors
from modelward_inference.fetch.limits import Limits
from modelward_inference.fetch.sources import source
from modelward_inference.fetch.sources.http import HttpSource
from threaded import answering
from unit.inference.artifacts import estimator, onnx
from unit.inference.test_containment import bundled

CONSENTED = "onnx,skops,xgboost,lightgbm,sklearn"
Member = tuple[str, bytes | None, dict[str, Any]]


def _archive(*members: Member) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content, fields in members:
            about = tarfile.TarInfo(name)
            about.size = len(content or b"")
            for field, value in fields.items():
                setattr(about, field, value)
            archive.addfile(about, io.BytesIO(content or b""))
    return buffer.getvalue()


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return name, None, {"type": kind, "linkname": target}


MODEL: Member = ("model.onnx", onnx(), {})
BYTES = b"written by the archive"
ESCAPES: dict[str, Callable[[Path], tuple[Member, ...]]] = {
    "a path upwards": lambda _: (MODEL, ("../marker", BYTES, {})),
    "a path from the root": lambda out: (MODEL, (str(out), BYTES, {})),
    "down and upwards": lambda _: (MODEL, ("x/../../marker", BYTES, {})),
    "through a link": lambda out: (MODEL, _link("way", str(out.parent)), ("way/marker", BYTES, {})),
    "through a relative link": lambda _: (MODEL, _link("way", ".."), ("way/marker", BYTES, {})),
    "over a link": lambda out: (_link("model.onnx", str(out)), ("model.onnx", BYTES, {})),
    "over a hard link": lambda out: (
        MODEL,
        _link("reference.json", str(out), tarfile.LNKTYPE),
        ("reference.json", BYTES, {}),
    ),
    "a pipe": lambda _: (MODEL, ("reference.json", None, {"type": tarfile.FIFOTYPE})),
    "a device": lambda _: (MODEL, ("reference.json", None, {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5})),
    "set-uid": lambda _: (MODEL, ("reference.json", BYTES, {"mode": 0o6777})),
    "one name twice": lambda _: (MODEL, ("model.onnx", BYTES, {})),
}


@attack("an archive leaves nothing outside of its folder, no links and no devices", ESCAPES)
def an_archive_that_escapes(parent: Path, members: Callable[[Path], tuple[Member, ...]]) -> str:
    steps = Steps(parent)
    steps.bring("m.tar", _archive(*members(steps.marker)))
    if steps.marker.exists():
        return "it wrote outside of the folder"
    for folder in (steps.artifact, steps.bundle):
        for each in folder.rglob("*"):
            if each.is_symlink() or not (each.is_file() or each.is_dir()) or each.stat().st_mode & 0o6000:
                return f"it left {each.name}, which is no plain file"
    return ""


def _zeros(rows: int) -> Callable[[Path, dict[str, Any]], dict[str, Any]]:
    def change(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
        about = {"origin": "training", "tolerance": {}, "inputs": [["input", "FP32"]], "expected": [["label", "INT64"]]}
        np.savez_compressed(
            folder / "golden.npz",
            about=np.frombuffer(orjson.dumps(about), np.uint8),
            inputs0=np.zeros((rows, 4), np.float32),
            expected0=np.zeros(rows, np.int64),
        )
        return manifest | {"golden_rows": rows}

    return change


BOMBS = {"golden rows": lambda folder: rebundled(bundled(estimator()), _zeros(40_000_000), folder)}
ROOM = 400 << 10
"""KiB of memory beyond what an honest model takes."""


@attack("what unpacks to far more than it weighs is refused before it is unpacked", BOMBS)
def a_bomb_of_an_archive(parent: Path, make: Callable[[Path], bytes]) -> str:
    honest, steps = Steps(parent), Steps(parent)
    assert honest.bring("m.tar", bundled(estimator()), CONSENTED), honest.told
    steps.bring("m.tar", make(steps.folder / "made"), CONSENTED)
    more = steps.peak - honest.peak
    return f"it took {more >> 10} MiB of memory" if more > ROOM else ""


OLD, NEW, HALF = b"A" * 400_000, b"B" * 400_000, 200_000
RESUMED: dict[str, tuple[dict[str, str], int, dict[str, str], int]] = {
    # name: headers of the first answer; status, headers and start of the second
    "another tag": ({"ETag": '"1"'}, 206, {"ETag": '"2"', "Content-Range": "bytes 200000-399999/400000"}, HALF),
    "the same tag, from another place": (
        {"ETag": '"1"'},
        206,
        {"ETag": '"1"', "Content-Range": "bytes 0-399999/400000"},
        HALF,
    ),
    "no place": ({"ETag": '"1"'}, 206, {"ETag": '"1"'}, HALF),
    "no tags at all": ({}, 206, {"Content-Range": "bytes 200000-399999/400000"}, HALF),
    "weak tags": ({"ETag": 'W/"1"'}, 206, {"ETag": 'W/"1"', "Content-Range": "bytes 200000-399999/400000"}, HALF),
    "another length": ({"ETag": '"1"'}, 206, {"ETag": '"1"', "Content-Range": "bytes 200000-399999/500000"}, HALF),
    "only a date": (
        {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"},
        206,
        {"Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT", "Content-Range": "bytes 200000-399999/400000"},
        HALF,
    ),
    "the rest as a whole": ({"ETag": '"1"'}, 200, {"ETag": '"2"'}, HALF),
}


class Changing(http.server.ThreadingHTTPServer):
    """Sends half of the old version, then what the sibling says of the new one. `/endless`: bytes for ever."""

    daemon_threads = True
    sibling = RESUMED["another tag"]
    asked = 0

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server: "Changing"

        def do_GET(self) -> None:
            self.close_connection = True
            first, status, second, start = self.server.sibling
            self.server.asked += 1
            begun = self.server.asked == 1
            body = OLD if begun else NEW[start:]
            self.send_response(200 if begun else status)
            for name, value in {"Content-Length": str(len(body)), **(first if begun else second)}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:HALF] if begun else body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""


@contextmanager
def changing(parent: Path) -> Iterator[tuple[Path, Changing]]:
    with answering(Changing(("127.0.0.1", 0), Changing.Handler)) as server:
        yield parent, server


@attack("a transfer goes on only with the same artifact", RESUMED, changing)
def a_store_that_changes(victim: tuple[Path, Changing], sibling: Any) -> str:
    parent, server = victim
    server.sibling, server.asked = sibling, 0
    target = parent / "target"
    try:
        source.download(HttpSource(f"http://127.0.0.1:{server.server_port}/m"), "u", target, sleep=lambda _: None)
    except errors.ModelError:
        return ""
    content = target.read_bytes()
    return "two versions were made one artifact" if b"A" in content and b"B" in content else ""


LIMIT = 8 << 20


class Endless(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        self.send_response(200)
        if self.path == "/chunks":
            self.send_header("Transfer-Encoding", "chunked")
        elif self.path == "/lies":
            self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        frame = b"100000\r\n%s\r\n" if self.path == "/chunks" else b"%s"
        try:
            while True:
                self.wfile.write(frame % bytes(1 << 20))
        except OSError:
            pass

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def endless(parent: Path) -> Iterator[tuple[Path, int]]:
    with answering(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)) as server:
        yield parent, server.server_port


@attack(
    "a body without an end fills no disk",
    {"in chunks": "/chunks", "until it closes": "/open", "a length of 1 TiB": "/lies"},
    endless,
)
def a_body_without_an_end(victim: tuple[Path, int], path: str) -> str:
    parent, port = victim
    target = parent / "target"
    with suppress(errors.ModelError):
        source.download(
            HttpSource(f"http://127.0.0.1:{port}{path}"), "u", target, Limits(LIMIT, 60.0), sleep=lambda _: None
        )
    size = target.stat().st_size if target.exists() else 0
    return f"{size >> 20} MiB were written" if size > LIMIT else ""
