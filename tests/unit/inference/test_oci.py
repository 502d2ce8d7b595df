"""Models from OCI registries: artifacts and images, who asks, and registries that send something else.

The registry is one of the tests (`registry.py`), which speaks the protocol; tests/api/test_stores.py asks a real one.
"""

import base64
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelward_inference import errors
from modelward_inference.artifact.receipt import Receipt
from modelward_inference.fetch import cache, obtain, run
from modelward_inference.fetch.limits import DEFAULT, Limits
from modelward_inference.fetch.sources import oci, registry, source
from threaded import answering

from .artifacts import onnx, pickled, tar_of, xgboost_file
from .at_once import pods_at_once
from .registry import EMPTY, IMAGE, INDEX, Registry, digest
from .test_mlflow_models import HERE

pytestmark = pytest.mark.unit


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setattr(source, "BACKOFF", 0.0)
    for name in ("username", "password", ".dockerconfigjson", registry.CREDENTIALS_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    with answering(Registry()) as server:
        monkeypatch.setenv("OCI_PLAIN_HTTP", f"other.example, {server.host}")
        yield server


def got(
    store: Registry, folder: Path, pushed: str, limits: Limits = DEFAULT, allowed: Any = None, reference: str = ""
) -> Receipt:
    uri = f"oci://{store.host}/team/fraud{reference or f'@{pushed}'}"
    shutil.rmtree(folder / "artifact", ignore_errors=True)
    (folder / "artifact").mkdir()
    pinned = pushed if reference else None
    return obtain.obtain(run.Request(uri, "auto", pinned, "m", folder), folder / "artifact", allowed, limits)


def left(folder: Path) -> list[str]:
    return sorted(each.name for each in (folder / "artifact").iterdir())


def tarred(*entries: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in entries:
            member = tarfile.TarInfo(name) if isinstance(name, str) else name
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = tarfile.SYMTYPE, target
    return made


ARTIFACTS: dict[str, Callable[[Registry], str]] = {
    "a file, as oras pushes one": lambda store: store.push(store.blob(onnx(), "model.onnx")),
    "files beside each other": lambda store: store.push(
        store.blob(b"# a model", "README.md"), store.blob(onnx(), "deep/model.onnx")
    ),
    "a file without a name": lambda store: store.push(store.blob(onnx())),
    "a folder, as oras packs one": lambda store: store.push(
        store.blob(
            tar_of({"model/model.onnx": onnx()}), "model", mediaType="application/vnd.oci.image.layer.v1.tar+gzip"
        )
    ),
    "a plain tar": lambda store: store.push(store.blob(tarred(("./model.onnx", onnx())))),
    "an archive of SageMaker's": lambda store: store.push(store.blob(tar_of({"model.onnx": onnx()}), "model.tar.gz")),
    "an image, as KServe's modelcars are": lambda store: store.push(
        store.blob(tarred(("bin/sh", b"#!"), (link("bin/ls", "/bin/sh"), b""), ("etc/model.onnx", onnx()))),
        store.blob(tar_of({"models/1/model.onnx": onnx(), "models/config.txt": b"x"})),
        config=IMAGE,
    ),
    "an image whose later layer takes something away": lambda store: store.push(
        store.blob(
            tarred(("models/old/model.joblib", pickled(1)), ("models/a.onnx", onnx()), ("models/m.onnx", b"old"))
        ),
        store.blob(tarred(("models/old/.wh..wh..opq", b""), ("models/.wh.a.onnx", b""), ("models/m.onnx", onnx()))),
        config=IMAGE,
    ),
}


@pytest.mark.parametrize("case", ARTIFACTS)
def test_a_model_is_found_in_what_was_pushed_and_the_manifest_s_digest_is_its_own(
    case: str, store: Registry, tmp_path: Path
) -> None:
    pushed = ARTIFACTS[case](store)
    receipt = got(store, tmp_path, pushed)
    assert (receipt.format, receipt.digest) == ("onnx", pushed)
    assert (tmp_path / "artifact" / "model.onnx").read_bytes() == onnx()
    assert left(tmp_path) == ["download.json", "model.onnx"]
    assert got(store, tmp_path, pushed, reference=":1").digest == pushed


def test_a_saved_bundle_stays_one(store: Registry, tmp_path: Path) -> None:
    import modelward_inference

    from .artifacts import estimator, rows

    saved = modelward_inference.save_bundle(tmp_path / "b.tar", estimator(), rows())
    receipt = got(store, tmp_path, store.push(store.blob(saved.read_bytes(), "b.tar")))
    assert (receipt.format, receipt.model) == ("bundle", "sklearn")


def test_an_mlflow_model_that_was_pushed_is_understood(store: Registry, tmp_path: Path) -> None:
    files = [store.blob(path.read_bytes(), path.name) for path in sorted((HERE / "xgboost").iterdir())]
    receipt = got(store, tmp_path, store.push(*files, store.blob(xgboost_file(), "model.ubj")))
    assert (receipt.format, "description.json" in receipt.files) == ("xgboost", True)


def test_an_index_leads_to_the_manifest_for_linux(store: Registry, tmp_path: Path) -> None:
    model = store.push(store.blob(onnx(), "m.onnx"), tag="a")
    other = store.push(store.blob(b"", "nothing"), tag="b")
    entries = [
        {"digest": other, "size": 1, "platform": {"os": "unknown", "architecture": "unknown"}},
        {"digest": other, "size": 1, "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": model, "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
    ]
    pushed = store.put({"mediaType": INDEX, "manifests": entries})
    assert got(store, tmp_path, pushed).digest == pushed
    assert got(store, tmp_path, store.put({"mediaType": INDEX, "manifests": [{"digest": model, "size": 1}]})).format
    with pytest.raises(errors.ModelUnsupported, match="an index of 2 manifests"):
        got(store, tmp_path, store.put({"mediaType": INDEX, "manifests": [{"digest": model}, {"digest": other}]}))


def test_a_pickle_needs_consent_and_the_manifest_s_digest_gives_it(store: Registry, tmp_path: Path) -> None:
    pushed = store.push(store.blob(pickled({"a": 1}), "m.joblib"))
    with pytest.raises(errors.FormatNotAllowed, match=pushed):
        got(store, tmp_path, pushed, allowed=frozenset({"onnx"}))
    other = run.Request(f"oci://{store.host}/team/fraud:1", "auto", "sha256:" + "0" * 64, "m", tmp_path)
    with pytest.raises(errors.DigestMismatch, match=f"has digest {pushed}"):
        obtain.obtain(other, tmp_path / "artifact")


def test_a_manifest_of_other_bytes_is_refused(store: Registry, tmp_path: Path) -> None:
    pushed = store.push(store.blob(onnx(), "m.onnx"))
    store.manifests[pushed] = ("", store.manifests[pushed][1] + b" ")
    with pytest.raises(errors.ArtifactCorrupt, match="gave a manifest with digest"):
        got(store, tmp_path, pushed)


@pytest.mark.parametrize("content", [b"other", onnx()[:-1] + b"!"])
def test_a_blob_of_other_bytes_is_refused(content: bytes, store: Registry, tmp_path: Path) -> None:
    pushed = store.push(store.blob(onnx(), "m.onnx"))
    store.blobs[digest(onnx())] = content
    with pytest.raises(errors.ModelError) as caught:
        got(store, tmp_path, pushed)
    assert type(caught.value) is errors.ArtifactCorrupt
    assert left(tmp_path) == []


HOSTILE: dict[str, tuple[tuple[str | tarfile.TarInfo, bytes], ...]] = {
    "a path out of it": (("../m.onnx", b"1"),),
    "a path that comes back": (("models/a/../../../m.onnx", b"1"),),
    "a link": ((link("models/m.onnx", "/etc/passwd"), b""),),
    "a folder by a link": ((link("models/a", "/tmp"), b""), ("models/a/m.onnx", b"1")),
    "one name twice": (("models/m.onnx", b"1"), ("./models/m.onnx", b"1")),
    "a file that is a folder": (("models/a", b"1"), ("models/a/b", b"1")),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_layer_that_is_not_safe_leaves_nothing(case: str, store: Registry, tmp_path: Path) -> None:
    pushed = store.push(store.blob(tarred(*HOSTILE[case])))
    with pytest.raises(errors.ModelUnsupported):
        got(store, tmp_path, pushed)
    assert left(tmp_path) == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["artifact"]


def brought(store: Registry, folder: Path, *layers: bytes) -> list[str]:
    """Names of an image's files, of which the layers are these."""
    pushed = store.push(*(store.blob(layer) for layer in layers), config=IMAGE)
    return oci.bring(f"oci://{store.host}/team/fraud@{pushed}", folder / ".unpacked")[2]


@pytest.mark.parametrize("mark", ["models/.wh...", "models/a/.wh...", "models/.wh..", "models/.wh."])
def test_what_a_layer_takes_away_lies_in_its_own_folder(mark: str, store: Registry, tmp_path: Path) -> None:
    (tmp_path / "beside").write_bytes(b"kept")
    with pytest.raises(errors.ModelError):
        brought(store, tmp_path, tarred(("models/m.onnx", onnx()), ("models/a/b", b"1")), tarred((mark, b"")))
    assert (tmp_path / "beside").read_bytes() == b"kept"
    assert (tmp_path / ".unpacked" / "m.onnx").is_file()


def test_a_layer_takes_away_what_lower_ones_have_and_nothing_of_its_own(store: Registry, tmp_path: Path) -> None:
    lower = tarred(("models/old.onnx", b"1"), ("models/m.onnx", b"old"), ("models/file", b"1"))
    upper = tarred(
        ("models/m.onnx", onnx()), ("models/.wh.m.onnx", b""), ("models/.wh..wh..opq", b""),
        ("models/file/.wh.b", b""),
    )  # fmt: skip
    assert brought(store, tmp_path, lower, upper) == ["m.onnx"]
    assert (tmp_path / ".unpacked" / "m.onnx").read_bytes() == onnx()
    (tmp_path / "again").mkdir()
    assert brought(store, tmp_path / "again", lower, tarred(("models/file/.wh.b", b""))) == [
        "file",
        "m.onnx",
        "old.onnx",
    ]


def test_files_are_counted_over_all_layers_before_they_are_written(
    store: Registry, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(oci.packed, "MAX_FILES", 5)
    layers = [tarred(*((f"models/{layer}/{each}", b"1") for each in range(4))) for layer in range(3)]
    with pytest.raises(errors.ModelUnsupported, match="more than 5 files"):
        brought(store, tmp_path, *layers)
    assert len([each for each in (tmp_path / ".unpacked").rglob("*") if each.is_file()]) == 5


@pytest.mark.parametrize("title", ["../m.onnx", "/etc/m.onnx", "a\\m.onnx", "\ud800.onnx"])
def test_a_title_that_leads_out_is_refused(title: str, store: Registry, tmp_path: Path) -> None:
    with pytest.raises(errors.ModelUnsupported, match="publish regular files alone, with paths below its root"):
        got(store, tmp_path, store.push(store.blob(onnx(), title)))


def test_what_is_too_large_is_not_begun_and_a_layer_that_unpacks_to_more_is_cut_off(
    store: Registry, tmp_path: Path
) -> None:
    pushed = store.push(store.blob(b"x" * 600, "a"), store.blob(b"x" * 601, "b"))
    with pytest.raises(errors.ArtifactTooLarge, match="has 1201 bytes"):
        got(store, tmp_path, pushed, Limits(size=1200))
    assert not [path for path, _ in store.asked if "/blobs/" in path]
    packed = store.push(store.blob(b"x" * 2000, "a"), store.blob(tar_of({"zeros": b"\0" * 9000})))
    with pytest.raises(errors.ArtifactTooLarge, match="unpacks to more than"):
        got(store, tmp_path, packed, Limits(size=10_000))
    assert left(tmp_path) == []


def test_a_large_file_before_a_small_archive_is_no_bomb(store: Registry, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(oci.packed, "SMALL", 1000)
    pushed = store.push(store.blob(b"x" * 50_000, "weights.bin"), store.blob(tar_of({"model.onnx": onnx()})))
    assert got(store, tmp_path, pushed).format == "onnx"


BROKEN: dict[str, Any] = {
    "no object": [], "no layers": {"config": {}}, "layers that are none": {"layers": [1]},
    "a digest of another kind": {"layers": [{"digest": "md5:1", "size": 1}]},
    "a path for a digest": {"layers": [{"digest": "sha256:../../../../" + "0" * 53, "size": 1}]},
    "a size that is none": {"layers": [{"digest": "sha256:" + "0" * 64, "size": -1}]},
    "nothing but an empty layer": {"layers": [{"mediaType": EMPTY, "digest": "sha256:" + "0" * 64, "size": 2}]},
    "an index of nothing": {"mediaType": INDEX, "manifests": []},
    "an index that is none": {"mediaType": INDEX, "manifests": [1]},
    "too many layers": {"layers": [{"digest": "sha256:" + "0" * 64, "size": 0}] * 1001},
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_manifest_that_can_not_be_read_is_told(case: str, store: Registry, tmp_path: Path) -> None:
    with pytest.raises(errors.ModelError):
        got(store, tmp_path, store.put(BROKEN[case]))
    assert left(tmp_path) == []


def test_an_image_without_models_says_where_they_belong(store: Registry, tmp_path: Path) -> None:
    pushed = store.push(store.blob(tarred(("m.onnx", onnx()))), config=IMAGE)
    with pytest.raises(errors.ModelUnsupported, match="without files below /models"):
        got(store, tmp_path, pushed)


def test_zstd_is_told(store: Registry, tmp_path: Path) -> None:
    with pytest.raises(errors.ModelUnsupported, match="compressed with zstd"):
        got(store, tmp_path, store.push(store.blob(b"\x28\xb5\x2f\xfd" + b"\0" * 300)))


def config(host: str, **auth: str) -> str:
    return json.dumps({"auths": {host: auth}})


SECRETS: dict[str, Callable[[str], dict[str, str]]] = {
    "a user": lambda _: {"username": "robot", "password": "p:w"},
    "a config with both joined": lambda host: {
        ".dockerconfigjson": config(host, auth=base64.b64encode(b"robot:p:w").decode())
    },
    "a config with both": lambda host: {
        ".dockerconfigjson": config(f"https://{host}", username="robot", password="p:w")
    },
}


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("basic", [False, True])
@pytest.mark.parametrize("case", SECRETS)
def test_who_may_pull_is_told_by_the_secret(
    case: str, basic: bool, mounted: bool, store: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.user, store.basic = "robot:p:w", basic
    pushed = store.push(store.blob(onnx(), "m.onnx"))
    with pytest.raises(errors.AccessDenied, match=r"spec\.model\.credentialsSecret"):
        got(store, tmp_path, pushed)
    (tmp_path / "secret").mkdir()
    for name, value in SECRETS[case](store.host).items():
        if mounted:
            (tmp_path / "secret" / name).write_text(f"{value}\n")
            monkeypatch.setenv(registry.CREDENTIALS_VARIABLE, str(tmp_path / "secret"))
        else:
            monkeypatch.setenv(name, value)
    assert got(store, tmp_path, pushed).format == "onnx"


def test_a_token_that_has_run_out_is_asked_for_again(
    store: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.user, store.spent = "u:p", 2
    monkeypatch.setenv("username", "u")
    monkeypatch.setenv("password", "p")
    pushed = store.push(*(store.blob(b"%d" % each, f"{each}") for each in range(3)), store.blob(onnx(), "m.onnx"))
    assert got(store, tmp_path, pushed).format == "onnx"
    assert len(store.tokens) > 1


def test_where_a_blob_is_redirected_to_no_credentials_go(
    store: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.user, store.basic = "u:p", True
    monkeypatch.setenv("username", "u")
    monkeypatch.setenv("password", "p")
    pushed = store.push(store.blob(onnx(), "m.onnx"))
    with answering(Registry()) as elsewhere:
        elsewhere.blobs = store.blobs
        store.redirect = f"http://{elsewhere.host}"
        assert got(store, tmp_path, pushed).format == "onnx"
        assert [headers.get("authorization") for _, headers in elsewhere.asked] == [None]


@pytest.mark.parametrize(
    "realm",
    ["http://169.254.169.254/token", "ftp://x/token", "", "file:///etc/passwd", "https://[x/token", "https:///token"],
)
def test_credentials_go_to_no_place_that_is_not_safe(
    realm: str, store: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.user, store.realm = "u:p", realm or "x"
    monkeypatch.setenv("username", "u")
    inner = registry.network.is_of_the_node
    monkeypatch.setattr(registry.network, "is_of_the_node", lambda each: store.host not in each and inner(each))
    with pytest.raises(errors.ArtifactUnreachable, match="not safe"):
        got(store, tmp_path, store.push(store.blob(onnx(), "m.onnx")))


@pytest.mark.parametrize(
    "challenge", ['Bearer realm="https://127.0.0.1:1/token",service=', "Bearer realm=", "Bearer", ""]
)
def test_a_registry_that_asks_for_something_odd_is_told(challenge: str, store: Registry, tmp_path: Path) -> None:
    store.user, store.challenge = "u:p", challenge
    with pytest.raises((errors.AccessDenied, errors.ArtifactUnreachable)):
        got(store, tmp_path, store.push(store.blob(onnx(), "m.onnx")))


def test_plain_http_is_only_for_registries_that_are_named_and_for_what_is_pinned(
    store: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = store.push(store.blob(onnx(), "m.onnx"))
    with pytest.raises(errors.InvalidConfiguration, match="plain http"):
        oci.bring(f"oci://{store.host}/team/fraud:1", tmp_path / "x")
    monkeypatch.setenv("OCI_PLAIN_HTTP", "")
    with pytest.raises(errors.ArtifactUnreachable):
        got(store, tmp_path, pushed)


REFERENCES = {
    "oci://r.example/a/b": ("r.example", "a/b", "latest", None),
    "oci://r.example:5000/a:1.0_x": ("r.example:5000", "a", "1.0_x", None),
    "oci://docker.io/mnist:2": ("registry-1.docker.io", "library/mnist", "2", None),
    f"oci://r.example/a:1@sha256:{'a' * 64}": ("r.example", "a", "1", f"sha256:{'a' * 64}"),
}


@pytest.mark.parametrize("uri", REFERENCES)
def test_references(uri: str) -> None:
    found = registry.Reference.of(uri)
    assert (found.host, found.name, found.tag, found.digest) == REFERENCES[uri]


@pytest.mark.parametrize(
    "uri", ["oci://a", "oci://r.example/A", "oci://r.example/a@sha256:1", "oci://r.example/a/../b", "oci://u@r.example/a",
            "oci://r.example/a?b", "oci://r.example/a:", "oci:///a", "oci://r.example/a#b"]
)  # fmt: skip
def test_what_is_no_reference_is_told(uri: str, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidConfiguration, match="names no artifact"):
        oci.bring(uri, tmp_path / "x")


def test_a_config_that_can_not_be_read_is_told() -> None:
    with pytest.raises(errors.InvalidConfiguration, match="kubectl create secret"):
        registry.Registry("u", registry.Reference.of("oci://r.example/a"), {".dockerconfigjson": "{"})


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pods share."""
    monkeypatch.setenv("MODELWARD_CACHE_DIR", str(tmp_path / "shared"))
    monkeypatch.setattr(cache, "POLL", 0.01)
    return tmp_path / "shared"


@pytest.mark.parametrize("reference", ["", ":1"])
def test_what_is_known_by_its_digest_is_had_with_the_registry_away(
    reference: str, cached: Path, store: Registry, tmp_path: Path
) -> None:
    """Also what a tag names that has moved since: the pin says what is meant."""
    inner = store.push(store.blob(onnx(), "m.onnx"), tag="amd64")
    platform = {"os": "linux", "architecture": "amd64"}
    pushed = store.put({"mediaType": INDEX, "manifests": [{"digest": inner, "platform": platform}]})
    first = got(store, tmp_path, pushed, reference=reference)
    store.push(store.blob(b"other", "other"), tag="1")
    asked = len(store.asked)
    assert got(store, tmp_path, pushed, reference=reference) == first
    assert len(store.asked) == asked
    for each in (cached / "files").iterdir():
        each.write_bytes(b"spoilt")
    store.manifests["1"] = store.manifests[pushed]
    assert got(store, tmp_path, pushed, reference=reference) == first
    asked_again = len(store.asked)
    assert asked_again > asked
    assert got(store, tmp_path, pushed, reference=reference) == first
    assert len(store.asked) == asked_again, "what was spoilt is not kept"


def test_a_blob_that_is_gone_is_asked_for_with_a_token(
    cached: Path, store: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.user = "u:p"
    monkeypatch.setenv("username", "u")
    monkeypatch.setenv("password", "p")
    pushed = store.push(store.blob(onnx(), "m.onnx"))
    first = got(store, tmp_path, pushed)
    (cached / "files" / digest(onnx())[7:]).unlink()
    assert got(store, tmp_path, pushed) == first


def test_pods_that_start_at_once_ask_for_a_layer_once(cached: Path, store: Registry, tmp_path: Path) -> None:
    pushed = store.push(store.blob(onnx(), "m.onnx"))

    def start(name: str) -> Receipt:
        (tmp_path / name).mkdir()
        return got(store, tmp_path / name, pushed)

    found = pods_at_once(start)
    assert len(found) == 10
    assert sum(digest(onnx()) in path for path, _ in store.asked) == 1
