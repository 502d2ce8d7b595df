"""A model that is a program: what it can reach while it is loaded, and what is believed of it afterwards.

The steps run as processes of their own, as in a pod; what a pod's mounts add (the artifact's folder is read-only for
everyone but the download) is held by tests/unit/render.
"""

import copy
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelward_auth import keys
from modelward_auth.keys import KeyPair
from modelward_inference import errors, save_bundle
from modelward_inference.artifact import digests
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.artifact.receipt import Receipt
from modelward_inference.compile import sandbox
from modelward_inference.serve import admission

from .artifacts import digest, estimator, onnx, pickled, rows, zipped
from .processes import DEADLINE, environment, free_port

SAFE = "onnx,skops,xgboost,lightgbm"
CONSENTED = f"{SAFE},sklearn"
SECRET = "s3cr3t-of-the-store"

PROBE = """
import json, os, pathlib, socket
try:
    socket.create_connection(("127.0.0.1", int(os.environ.get("PORT_OF_STORE", "1"))), 1)
    network = "open"
except PermissionError:
    network = "refused"
except OSError as error:
    network = f"open: {error}"
pathlib.Path(FOLDER, "probe.json").write_text(json.dumps({"network": network, "environment": dict(os.environ)}))
"""

FORGE = """
import dataclasses, pathlib, pickle
from modelward_inference import errors
from modelward_inference.artifact import bundle
class Again:
    def __reduce__(self):
        return exec, (f"import pathlib; pathlib.Path({str(FOLDER)!r}, 'pwned').touch()",)
old = bundle.Manifest.write
def write(self, folder):
    (folder / "model.joblib").write_bytes(pickle.dumps(Again()))
    changed = dict(format="sklearn", file="model.joblib", golden_rows=0, files={}, warnings=(), **CHANGES)
    old(dataclasses.replace(self, **changed), folder)
bundle.Manifest.write = write
"""


class Program:
    """Unpickling it runs `code`, which knows the test's FOLDER and `names`."""

    def __init__(self, code: str, **names: Any) -> None:
        self.code = code
        self.names = names

    def __reduce__(self) -> Any:
        return exec, (self.code, dict(self.names))


class Pod:
    """The steps of a pod, with its folders below `folder`, for the artifact `content`."""

    def __init__(self, folder: Path, name: str, content: bytes) -> None:
        self.folder = folder
        self.name = name
        self.artifact, self.bundle = folder / "artifact", folder / "bundle"
        for each in ("volume", "artifact", "bundle"):
            (folder / each).mkdir()
        (folder / "volume" / name).write_bytes(content)

    def run(self, verb: str, **settings: str) -> tuple[int, Any]:
        """Exit code and termination message."""
        log = self.folder / f"log-{verb}"
        log.write_text("")
        variables = {
            "BUNDLE_DIR": str(self.bundle), "ARTIFACT_DIR": str(self.artifact), "TERMINATION_LOG": str(log),
            "MODEL_NAME": "m", "MODEL_ALLOWED_FORMATS": CONSENTED, "HOST": "127.0.0.1", "PORT": str(free_port()),
            "GRPC_PORT": "", **settings,
        }  # fmt: skip
        if verb == "download":
            variables |= {"MODEL_URI": f"pvc://c/{self.name}", "PVC_MOUNT": str(self.folder / "volume")}
        done = subprocess.run(
            [sys.executable, "-m", "modelward_inference", verb], env=environment(**variables), cwd=self.folder,
            capture_output=True, text=True, check=False, timeout=DEADLINE,
        )  # fmt: skip
        text = log.read_text()
        return done.returncode, json.loads(text) if text else done.stderr


MakePod = Callable[[str, bytes], Pod]


@pytest.fixture
def made(tmp_path: Path) -> MakePod:
    return lambda name, content: Pod(tmp_path, name, content)


def evil(folder: Path, code: str, **names: Any) -> bytes:
    model = copy.deepcopy(estimator())
    model.extra = Program(code, FOLDER=str(folder), **names)
    return pickled(model)


def test_the_download_loads_nothing(made: MakePod) -> None:
    """Neither the file nor a library that could."""
    content = evil(Path("/nowhere"), "raise SystemExit(9)")
    pod = made("m.joblib", content)
    code, told = pod.run("download")
    assert (code, told["reason"], told["digest"], told["format"]) == (0, "Downloaded", digest(content), "sklearn")
    program = (
        "import sys; from modelward_inference.fetch import obtain, report, run\n"
        "print([m for m in sys.modules if m in "
        "('numpy', 'joblib', 'sklearn', 'scipy', 'onnx', 'onnxruntime', 'skops', 'xgboost', 'lightgbm', 'torch')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_the_download_makes_the_pods_key_and_announces_what_is_public_of_it(made: MakePod, tmp_path: Path) -> None:
    pod, file = made("m.joblib", evil(tmp_path, PROBE)), tmp_path / "identity"
    told = pod.run("download", POD_KEY=str(file))[1]["key"]
    assert told == keys.shown(KeyPair.of(int(file.read_text(), 16)).public)
    assert len((pod.folder / "log-download").read_bytes()) < 4096, "the kubelet cuts what is longer"
    assert not list(pod.artifact.rglob("identity*"))
    assert pod.run("compile")[0] == 0
    assert "POD_KEY" not in json.loads((tmp_path / "probe.json").read_text())["environment"]
    # A download may run again beside processes that have read the key.
    assert pod.run("download", POD_KEY=str(file))[1]["key"] == told
    file.unlink()
    assert pod.run("download", POD_KEY=str(file))[1]["key"] != told
    assert "key" not in pod.run("download")[1]


def test_a_download_that_fails_announces_no_key(made: MakePod, tmp_path: Path) -> None:
    code, told = made("m.joblib", b"").run("download", POD_KEY=str(tmp_path / "identity"))
    assert code == 1
    assert "key" not in told
    assert not (tmp_path / "identity").exists()


def test_what_is_loaded_sees_no_network_and_nothing_of_the_store(made: MakePod, tmp_path: Path) -> None:
    pod = made("m.joblib", evil(tmp_path, PROBE))
    assert pod.run("download", AWS_SECRET_ACCESS_KEY=SECRET)[0] == 0
    # Also what a webhook puts into every container of a pod does not get as far.
    code, told = pod.run("compile", AWS_SECRET_ACCESS_KEY=SECRET, AWS_WEB_IDENTITY_TOKEN_FILE="/token")
    assert code == 0, told
    seen = json.loads((tmp_path / "probe.json").read_text())
    assert seen["network"] == "refused"
    assert not {"AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE", "MODEL_URI"} & set(seen["environment"])


CLAIMS: dict[str, dict[str, Any]] = {
    "another digest": {"digest": "sha256:" + "a" * 64},
    "a compiled form that is a pickle": {},
    "the original, from the bundle": {"compilation": None},
    "another address": {"uri": "s3://trusted/m.onnx"},
    "another format": {"artifact_format": "onnx"},
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_server_unpickles_nothing_that_was_not_downloaded(made: MakePod, tmp_path: Path, claim: str) -> None:
    content = evil(tmp_path, FORGE, CHANGES=CLAIMS[claim])
    pod = made("m.joblib", content)
    assert pod.run("download")[1]["digest"] == digest(content)
    assert pod.run("compile")[0] == 0
    assert Manifest.read(pod.bundle).format == "sklearn", "the forgery has taken place"
    assert Receipt.read(pod.artifact).digest == digest(content)
    # With consent, the one claim that holds leads to the downloaded file; see below.
    code, told = pod.run("serve", MODEL_ALLOWED_FORMATS=SAFE if claim == "the original, from the bundle" else CONSENTED)
    assert code == 1
    assert told["reason"] in ("BundleInvalid", "FormatNotAllowed")
    assert not (tmp_path / "pwned").exists()


def test_what_is_served_as_it_came_is_read_where_the_download_left_it(made: MakePod) -> None:
    """Not from the bundle, which what was loaded can write to."""
    pod = made("m.joblib", pickled(estimator()))
    pod.run("download")
    assert pod.run("compile", MODEL_OPTIMISE="Off")[1]["form"] == "original"
    (pod.bundle / "model.joblib").write_bytes(b"another one")
    _, model = admission.load(pod.bundle, pod.artifact, frozenset({"sklearn"}), 1)
    assert model.signature.inputs[0].shape == (-1, 4)
    with pytest.raises(errors.FormatNotAllowed):
        admission.load(pod.bundle, pod.artifact, frozenset({"onnx"}), 1)
    (pod.artifact / "model.joblib").write_bytes(pickled(estimator()) + b"\0")
    with pytest.raises(errors.BundleInvalid, match=r"has digest .*, but had "):
        admission.load(pod.bundle, pod.artifact, frozenset({"sklearn"}), 1)


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_a_file_that_changed_since_is_not_read(made: MakePod, name: str) -> None:
    pod = made("m.joblib", pickled(estimator()))
    pod.run("download")
    assert pod.run("compile")[1]["form"] == "compiled"
    (pod.bundle / name).write_bytes((pod.bundle / name).read_bytes()[:-1] + b"x")
    code, told = pod.run("serve")
    assert (code, told["reason"]) == (1, "BundleInvalid")
    assert name in told["message"]


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "nothing"])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.onnx"
    match kind:
        case "link":
            path.symlink_to("/etc/hostname")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    with pytest.raises(errors.BundleInvalid, match="plain file"):
        digests.check(tmp_path, {"model.onnx": "sha256:" + "0" * 64})


def test_a_name_with_a_path_in_it_is_no_file_of_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(errors.BundleInvalid, match="has no file"):
        digests.check(tmp_path, {"../model.onnx": "sha256:" + "0" * 64})


STEPS = ("download", "compile")


def bundled(model: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return save_bundle(Path(folder) / "b.tar", model, rows()).read_bytes()


@pytest.mark.parametrize("name", ["m.joblib", "m", "m.tar"])
def test_a_pickle_that_nobody_vouches_for_is_not_loaded(made: MakePod, tmp_path: Path, name: str) -> None:
    """Its content decides, not its name; each step refuses for itself."""
    content = bundled(estimator()) if name == "m.tar" else evil(tmp_path, PROBE)
    pod = made(name, content)
    code, told = pod.run("download", MODEL_ALLOWED_FORMATS=SAFE)
    assert (code, told["reason"]) == (1, "FormatNotAllowed")
    for word in ("runs code", f"spec.model.digest: {digest(content)}", "modelward.io/allowed-formats=sklearn", "ONNX"):
        assert word in told["message"]
    assert list(pod.artifact.iterdir()) == []
    assert pod.run("download")[0] == 0
    assert pod.run("compile", MODEL_ALLOWED_FORMATS=SAFE)[1]["reason"] == "FormatNotAllowed"
    assert not (tmp_path / "probe.json").exists()
    assert pod.run("compile")[0] == 0
    assert pod.run("download", MODEL_ALLOWED_FORMATS=SAFE)[1]["reason"] == "FormatNotAllowed", "consent was taken back"


def test_a_torchscript_module_is_a_program_too(made: MakePod) -> None:
    pod = made("m.pt", zipped({"m/constants.pkl": b"", "m/data.pkl": b""}))
    assert pod.run("download")[1]["reason"] == "FormatNotAllowed"


def test_data_needs_nobody_s_consent(made: MakePod) -> None:
    pod = made("m.onnx", onnx())
    assert [pod.run(step, MODEL_ALLOWED_FORMATS=SAFE)[0] for step in STEPS] == [0, 0]


def test_an_installation_may_allow_less(made: MakePod) -> None:
    code, told = made("m.onnx", onnx()).run("download", MODEL_ALLOWED_FORMATS="skops")
    assert (code, told["reason"]) == (1, "FormatNotAllowed")
    assert "this installation allows skops" in told["message"]


def test_a_setting_that_can_not_be_read_allows_nothing(made: MakePod) -> None:
    code, told = made("m.onnx", onnx()).run("download", MODEL_ALLOWED_FORMATS="onnx,pikcle")
    assert (code, told["reason"]) == (1, "InvalidConfiguration")


ENDLESS = """
import os, pathlib, time
if os.fork() == 0:
    os.setsid()
pathlib.Path(FOLDER, f"pid-{os.getpid()}").touch()
while True:
    time.sleep(1)
"""


def test_a_model_that_takes_for_ever_to_load_is_ended(made: MakePod, tmp_path: Path) -> None:
    pod = made("m.joblib", evil(tmp_path, ENDLESS))
    pod.run("download")
    code, told = pod.run("compile", COMPILE_TIMEOUT_SECONDS="20")
    assert (code, told["reason"]) == (1, "CompileTimedOut")
    assert "spec.model.optimise" in told["message"]
    left = [Path("/proc") / each.name.removeprefix("pid-") for each in tmp_path.glob("pid-*")]
    assert left, "it was being loaded"
    assert not [each for each in left if each.exists()], "also what fled into a session of its own"


def test_a_process_that_is_killed_for_its_memory_is_told_of(made: MakePod, tmp_path: Path) -> None:
    pod = made("m.joblib", evil(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    pod.run("download")
    code, told = pod.run("compile")
    assert (code, told["reason"]) == (1, "OutOfMemory")


def test_a_model_that_crashes_what_loads_it_is_told_of(made: MakePod, tmp_path: Path) -> None:
    pod = made("m.joblib", evil(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    pod.run("download")
    code, told = pod.run("compile")
    assert (code, told["reason"]) == (1, "ArtifactCorrupt")
    assert "crashed (Segmentation fault)" in told["message"]


SOCKETS = """
import os, socket, sys
from modelward_inference.compile import sandbox
assert sandbox.enter()
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
    try:
        socket.socket(family, socket.SOCK_DGRAM)
    except PermissionError:
        continue
    sys.exit(f"{family!r} is open")
PROGRAM = "import socket\\ntry: socket.socket()\\nexcept PermissionError: print('closed')"
os.execv(sys.executable, [sys.executable, "-c", PROGRAM])
"""


def test_no_socket_of_any_kind_and_no_way_out_by_another_program() -> None:
    found = subprocess.run(
        [sys.executable, "-c", SOCKETS], env=environment(), capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout.strip()) == (0, "closed"), found.stderr


def test_another_machine_has_no_filter_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.platform, "machine", lambda: "riscv64")
    assert sandbox.enter() is False


def test_a_bundle_that_names_another_format_than_it_holds(made: MakePod, tmp_path: Path) -> None:
    """The format that is allowed is the one that is there: a pickle in ONNX's clothes is refused by the download."""
    folder = tmp_path / "made"
    folder.mkdir()
    with tarfile.open(made("b.tar", bundled(estimator())).folder / "volume/b.tar") as archive:
        archive.extractall(folder, filter="data")
    told = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(told | {"format": "onnx", "file": "model.onnx"}))
    (folder / "model.joblib").rename(folder / "model.onnx")
    with tarfile.open(tmp_path / "volume/b.tar", "w") as archive:
        for each in folder.iterdir():
            archive.add(each, each.name)
    pod = Pod.__new__(Pod)
    pod.folder, pod.name, pod.artifact, pod.bundle = tmp_path, "b.tar", tmp_path / "artifact", tmp_path / "bundle"
    code, message = pod.run("download", MODEL_ALLOWED_FORMATS=SAFE)
    assert (code, message["reason"]) == (1, "BundleInvalid")
