"""Artifacts that are programs: a pickle in every dress, and what it can do where it is loaded with consent."""

import bz2
import copy
import gzip
import io
import json
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from attack.attack import attack
from attack.steps import CONSENTED, SAFE, SECRET, Steps
from unit.inference.artifacts import estimator, pickled, skops_file
from unit.inference.test_containment import FORGE, bundled


class Leaves:
    """Unpickling it writes a marker, by a function of Python's own."""

    def __init__(self, marker: Path, code: str = "") -> None:
        self.code = code or f"import pathlib; pathlib.Path({str(marker)!r}).touch()"

    def __reduce__(self) -> Any:
        return exec, (self.code, {})


def program(marker: Path, code: str = "") -> Any:
    """An estimator that works, and leaves a marker where it is loaded."""
    made = copy.deepcopy(estimator())
    made.extra = Leaves(marker, code)
    return made


def _compressed(squeeze: Callable[[bytes], bytes]) -> Callable[[Path], bytes]:
    return lambda marker: squeeze(pickled(program(marker)))


def _torch(marker: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Leaves(marker)))
        archive.writestr("archive/constants.pkl", pickle.dumps(Leaves(marker)))
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def _array(marker: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Leaves(marker)], object), allow_pickle=True)
    return buffer.getvalue()


def _skops(marker: Path) -> bytes:
    """A file of skops' with a pickle as one of its members, and under its schema's name too."""
    buffer = io.BytesIO(skops_file())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("0.npy", _array(marker))
        archive.writestr("model.pkl", pickle.dumps(Leaves(marker)))
    return buffer.getvalue()


def rebundled(content: bytes, change: Callable[[Path, dict[str, Any]], dict[str, Any]], folder: Path) -> bytes:
    """A bundle whose files and manifest were changed by hand."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")
    manifest = change(folder, json.loads((folder / "model.json").read_text()))
    (folder / "model.json").write_text(json.dumps(manifest))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for each in sorted(folder.iterdir()):
            archive.add(each, each.name)
    return buffer.getvalue()


def _bundle(marker: Path, form: str = "sklearn", name: str = "model.joblib") -> bytes:
    """The model is put in afterwards: who saves a bundle loads what it holds."""

    def change(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
        (folder / "model.joblib").unlink()
        (folder / name).write_bytes(pickled(program(marker)))
        return manifest | {"format": form, "file": name, "files": {}}

    return rebundled(bundled(estimator()), change, marker.with_name("rebundled"))


def _golden(marker: Path) -> bytes:
    def change(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
        with zipfile.ZipFile(folder / "golden.npz") as old:
            held = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(folder / "golden.npz", "w") as new:
            for name in held:
                new.writestr(name, _array(marker))
        return manifest

    return rebundled(bundled(estimator()), change, marker.with_name("rebundled"))


DRESSES: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "joblib": ("m.joblib", lambda marker: pickled(program(marker))),
    "called ONNX": ("m.onnx", lambda marker: pickled(program(marker))),
    "called skops": ("m.skops", lambda marker: pickled(program(marker))),
    "without a name": ("m", lambda marker: pickled(program(marker))),
    "gzip": ("m.pkl.gz", _compressed(gzip.compress)),
    "gzip, called ONNX": ("m.onnx", _compressed(gzip.compress)),
    "bz2": ("m.joblib", _compressed(bz2.compress)),
    "zlib": ("m.joblib", _compressed(zlib.compress)),
    "text protocol": ("m.pkl", lambda marker: pickle.dumps(Leaves(marker), 0)),
    "TorchScript's archive": ("m.pt", _torch),
    "an array of objects": ("m.npy", _array),
    "within a skops file": ("m.skops", _skops),
    "a bundle": ("m.tar", _bundle),
    "a bundle that calls it ONNX": ("m.tar", lambda marker: _bundle(marker, "onnx", "model.onnx")),
    "a bundle that calls it skops": ("m.tar", lambda marker: _bundle(marker, "skops", "model.skops")),
    "a bundle's golden rows": ("m.tar", _golden),
}


@attack("a pickle that nobody consented to is never loaded", DRESSES)
def a_pickle_in_disguise(parent: Path, dress: tuple[str, Callable[[Path], bytes]]) -> str:
    name, make = dress
    steps = Steps(parent)
    formats = CONSENTED if name == "m.tar" and make is _golden else SAFE
    if steps.bring(name, make(steps.marker), formats):
        steps.serve(formats)
    return "its program ran" if steps.marker.exists() else ""


CLAIMS: dict[str, dict[str, Any]] = {
    "a pickle as compiled form": {},
    "another digest": {"digest": "sha256:" + "a" * 64},
    "the original, from the bundle": {"compilation": None},
    "another address": {"uri": "s3://trusted/m.onnx"},
    "another format": {"artifact_format": "onnx"},
}


@attack("the server unpickles nothing that the download did not bring, whatever what was loaded says", CLAIMS)
def a_pickle_forges_the_report(parent: Path, claim: dict[str, Any]) -> str:
    """The second pickle, which it puts into the bundle, writes a marker in the server."""
    steps = Steps(parent)
    code = f"FOLDER, CHANGES = {str(steps.folder)!r}, {claim!r}\n{FORGE}"
    if steps.bring("m.joblib", pickled(program(steps.marker, code)), CONSENTED):
        formats = SAFE if claim == {"compilation": None} else CONSENTED
        steps.serve(formats)
    return "the server ran what the forged bundle holds" if (steps.folder / "pwned").exists() else ""


REACHES = {
    "the store's credentials": "found = os.environ.get('AWS_SECRET_ACCESS_KEY', '')",
    "the parent's environment": "found = open(f'/proc/{os.getppid()}/environ').read()",
    "the supervisor's environment": (
        "found = ''.join(open(f'/proc/{p}/environ', errors='replace').read() "
        "for p in (os.getppid(), os.getpid()) if os.path.exists(f'/proc/{p}/environ'))"
    ),
    "an IPv4 socket": "socket.create_connection(('127.0.0.1', PORT), 2); found = SECRET",
    "a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT)); found = SECRET",
    "an IPv6 socket": "socket.socket(socket.AF_INET6, socket.SOCK_STREAM); found = SECRET",
    "a Unix socket": "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); found = SECRET",
    "a program that has a socket": (
        "code = f\"import socket; socket.create_connection(('127.0.0.1', {PORT}))\";"
        "done = subprocess.run([sys.executable, '-c', code]);"
        "found = SECRET if done.returncode == 0 else ''"
    ),
}


@attack("what is loaded with consent has neither the store's credentials nor a network", REACHES)
def a_pickle_reaches_out(parent: Path, reach: str) -> str:
    import socket

    steps = Steps(parent)
    with socket.create_server(("127.0.0.1", 0)) as store:
        code = (
            f"import os, socket, subprocess, sys, pathlib\nPORT, SECRET = {store.getsockname()[1]}, {SECRET!r}\n"
            f"try:\n    {reach}\nexcept OSError as error:\n    found = repr(error)\n"
            f"pathlib.Path({str(steps.marker)!r}).write_text(found)\n"
        )
        steps.bring("m.joblib", pickled(program(steps.marker, code)), CONSENTED)
    assert steps.marker.exists(), f"the program did not run: {steps.told}"
    return "it got out" if SECRET in steps.marker.read_text() else ""
