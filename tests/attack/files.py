"""Artifacts that are data, and try to be more: skops files with classes that act, ONNX models that read other files."""

import http.server
import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import skops.io
from numpy.lib._datasource import DataSource
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from attack.attack import attack
from attack.programs import Leaves
from attack.steps import Steps
from threaded import answering

X = np.random.default_rng(3).normal(size=(80, 3))
Y = (X[:, 0] > 0).astype(int)
RAN, CRASHED = "its program ran", "the process crashed"


class Asked(http.server.ThreadingHTTPServer):
    """An address that an artifact may lead to. `count`: of requests."""

    daemon_threads = True
    count = 0

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.count += 1  # type: ignore[attr-defined]
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            """Quiet."""


@contextmanager
def asked(parent: Path) -> Iterator[tuple[Path, Asked]]:
    with answering(Asked(("127.0.0.1", 0), Asked.Handler)) as server:
        yield parent, server


class Inert:
    """Becomes an object of another class only for skops: what its destructor would do here must not happen."""

    def __init__(self, kind: type, **state: Any) -> None:
        self.made = kind.__new__(kind)
        self.made.__dict__ = state


def _pickled_array(target: Path, marker: Path) -> None:
    with target.open("wb") as file:
        np.save(file, np.array([Leaves(marker)], object), allow_pickle=True)


def _npz(target: str) -> Any:
    from numpy.lib._npyio_impl import NpzFile

    source = DataSource.__new__(DataSource)
    source.__dict__ = {"_destpath": "cache", "_istmpdest": False}
    made = NpzFile.__new__(NpzFile)
    made.__dict__ = {
        "files": ["a"],
        "_files": {"a": target},
        "allow_pickle": True,
        "max_header_size": 10_000,
        "pickle_kwargs": None,
        "zip": source,
    }
    model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(X, Y)
    model.steps[0][1].kw_args = made
    content = skops.io.dumps(model)
    made.zip = made.fid = None
    return content


def _from_file(steps: Steps, _: Asked) -> bytes:
    _pickled_array(steps.folder / "x.npy", steps.marker)
    return _npz(str(steps.folder / "x.npy"))


def _from_address(steps: Steps, server: Asked) -> bytes:
    return _npz(f"http://127.0.0.1:{server.server_port}/x.npy.gz")


def _calling(function: Callable[..., Any], *values: Any, **named: Any) -> Callable[[Steps, Asked], bytes]:
    def made(steps: Steps, server: Asked) -> bytes:
        _pickled_array(steps.folder / "x.npy", steps.marker)
        address = f"http://127.0.0.1:{server.server_port}/x"
        places = {"FILE": str(steps.folder / "x.npy"), "URL": address, "MARK": str(steps.marker)}
        kw = {name: places.get(value, value) if isinstance(value, str) else value for name, value in named.items()}
        model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(X, Y)
        model.steps[0][1].func = function
        model.steps[0][1].kw_args = kw
        return skops.io.dumps(model)

    return made


def _with_extra(kind: type, **state: Any) -> Callable[[Steps, Asked], bytes]:
    """An estimator with an object of any class beside it; a state of MARK names a folder that is the marker's."""

    def made(steps: Steps, _: Asked) -> bytes:
        victim = steps.folder / "victim"
        victim.mkdir()
        (victim / "file").write_text("x")
        given = {name: str(victim) if value == "MARK" else value for name, value in state.items()}
        extra = Inert(kind, **given).made
        model = LinearRegression().fit(X, Y)
        model.extra = extra
        try:
            return skops.io.dumps(model)
        finally:
            extra.__dict__.clear()
            extra.__dict__["_istmpdest"] = False

    return made


def _boosted(field: str, value: int) -> Callable[[Steps, Asked], bytes]:
    def made(*_: Any) -> bytes:
        model = HistGradientBoostingRegressor(max_iter=1, min_samples_leaf=5).fit(X, X[:, 0])
        nodes = model._predictors[0][0].nodes
        nodes["is_leaf"] = 0
        nodes[field] = value
        return skops.io.dumps(model)

    return made


def _forest(field: str, value: int) -> Callable[[Steps, Asked], bytes]:
    def made(*_: Any) -> bytes:
        model = RandomForestClassifier(1, random_state=0).fit(X, Y)
        getattr(model.estimators_[0].tree_, field)[:] = value
        return skops.io.dumps(model)

    return made


SKOPS: dict[str, Callable[[Steps, Asked], bytes]] = {
    "an archive that unpickles a file": _from_file,
    "an archive that unpickles an address": _from_address,
    "a folder that is removed with its object": _with_extra(DataSource, _destpath="MARK", _istmpdest=True),
    "numpy.load": _calling(np.load, file="FILE", allow_pickle=True),
    "numpy.genfromtxt": _calling(np.genfromtxt, fname="URL"),
    "numpy.savetxt": _calling(np.savetxt, fname="MARK"),
    "eval": _calling(eval),
    "os.system": _calling(__import__("os").system),
    "subprocess": _calling(__import__("subprocess").run, shell=True),
    "joblib.load": _calling(__import__("joblib").load, filename="FILE"),
    "a boosted tree's left child": _boosted("left", 1 << 31),
    "a boosted tree's right child": _boosted("right", 1 << 31),
    "a boosted tree's feature": _boosted("feature_idx", 1 << 30),
    "a boosted tree's categories": _boosted("bitset_idx", 1 << 30),
    "a forest's left child": _forest("children_left", 1 << 30),
    "a forest's feature": _forest("feature", 1 << 30),
    "a forest without an end": _forest("children_left", 0),
}


@attack("a skops file runs nothing, reads nothing, removes nothing and crashes nothing", SKOPS, asked)
def a_skops_file_that_acts(victim: tuple[Path, Asked], make: Callable[[Steps, Asked], bytes]) -> str:
    parent, server = victim
    steps, before = Steps(parent), server.count
    content = make(steps, server)
    folder = steps.folder / "victim"
    there = folder.exists()
    if steps.bring("m.skops", content):
        body = {"inputs": [{"name": "input", "shape": [1, 3], "datatype": "FP64", "data": [1.0, 2.0, 3.0]}]}
        steps.serve(body=body)
    if steps.marker.exists():
        return RAN
    if server.count > before:
        return "it sent a request"
    if there and not (folder / "file").exists():
        return "it removed a folder"
    return CRASHED if "crashed" in steps.told.get("message", "") else ""


HIDDEN = "SECRET-OF-ANOTHER-FILE-0123456789"


def _vectoriser(**settings: Any) -> bytes:
    texts = ["secret of another file", "something else"] * 4
    model = make_pipeline(CountVectorizer(), LogisticRegression(C=1e6)).fit(texts, [1, 0] * 4)
    model.steps[0][1].set_params(**settings)
    content: bytes = skops.io.dumps(model)
    return content


@attack(
    "no client of a skops file reads the server's files by their names",
    {"one that reads files": {"input": "filename"}, "one that reads streams": {"input": "file"}},
)
def a_vectoriser_of_files(parent: Path, settings: dict[str, str]) -> str:
    """Each client would learn whether the words that the model knows stand in a file that he names."""
    steps = Steps(parent)
    told = []
    for words in ("secret of another file", "nothing"):
        (steps.folder / "x").write_text(words)
        if steps.bring("m.skops", _vectoriser(**settings)):
            data = [str(steps.folder / "x")]
            body = {"inputs": [{"name": "input", "shape": [1], "datatype": "BYTES", "data": data}]}
            told.append(steps.serve(body=body))
    plain = [each.partition('"outputs"')[2] for each in told]
    return "its answer hangs on the content of the file" if len(plain) == 2 and plain[0] != plain[1] else ""


def _tensor(location: str) -> TensorProto:
    made = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[len(HIDDEN)], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(HIDDEN)))):
        made.external_data.add(key=key, value=value)
    return made


def _model(tensor: TensorProto, place: str) -> bytes:
    values = [
        helper.make_tensor_value_info("y", TensorProto.UINT8, [len(HIDDEN)]),
        helper.make_tensor_value_info("z", TensorProto.FLOAT, [None, 1]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])]
    nodes = [helper.make_node("Identity", ["x"], ["z"])]
    held = []
    match place:
        case "constant":
            nodes.append(helper.make_node("Constant", [], ["y"], value=tensor))
        case "branch":
            inner = helper.make_graph(
                [helper.make_node("Identity", ["w"], ["v"])],
                "inner",
                [],
                [helper.make_tensor_value_info("v", TensorProto.UINT8, [len(HIDDEN)])],
                [tensor],
            )
            held.append(helper.make_tensor("c", TensorProto.BOOL, [], [True]))
            nodes.append(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))
        case _:
            held.append(tensor)
            nodes.append(helper.make_node("Identity", ["w"], ["y"]))
    graph = helper.make_graph(nodes, "g", inputs, values, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


@attack(
    "an ONNX model reads no file but its own",
    {
        f"{kind}, {place}": (kind, place)
        for place in ("initializer", "constant", "branch")
        for kind in ("above", "absolute", "of the process", "below and above", "in a bundle: a link")
    },
)
def an_onnx_model_that_reads_other_files(parent: Path, sibling: tuple[str, str]) -> str:
    kind, place = sibling
    steps = Steps(parent)
    for each in (steps.folder, steps.artifact.parent, steps.volume):
        (each / "secret").write_text(HIDDEN)
    location = {
        "above": "../secret",
        "absolute": str(steps.folder / "secret"),
        "of the process": "/proc/self/environ",
        "below and above": "x/../../secret",
        "in a bundle: a link": "link",
    }[kind]
    content = _model(_tensor(location), place)
    name = "m.onnx"
    if kind.startswith("in a bundle"):
        name, buffer = "m.tar", io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            about = tarfile.TarInfo("model.onnx")
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, str(steps.folder / "secret")
            archive.addfile(link)
        content = buffer.getvalue()
    if not steps.bring(name, content):
        return ""
    body = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}]}
    answer = steps.serve(body=body)
    return "the answer has another file's bytes" if '"y"' in answer else ""


@attack("an ONNX model reads no file but its own, however its bytes are written", {"an overlong key": "overlong"})
def an_onnx_model_that_hides_what_it_reads(parent: Path, place: str) -> str:
    steps = Steps(parent)
    (steps.folder / "secret").write_text(HIDDEN)
    long, short = (
        b"\x0a%slocation\x12%s" % each for each in ((b"\x08", b"\x0a../secret+"), (b"\x88\x00", b"\x09../secret"))
    )
    content = _model(_tensor("../secret+"), place)
    assert long in content
    content = content.replace(long, short)  # a length may be written with more bytes than it needs
    assert onnx.load_model_from_string(content).graph.initializer[0].external_data[0].key == "location"
    if not steps.bring("m.onnx", content):
        return ""
    body = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}]}
    return "the answer has another file's bytes" if '"y"' in steps.serve(body=body) else ""
