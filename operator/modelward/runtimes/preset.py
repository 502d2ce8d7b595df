"""Other servers than ours, as an installation knows them: a preset in YAML, read and checked. Pure.

A preset says what is run and how it is spoken to, and nothing that reaches beyond its container. Texts may have
`$(NAME)` of the variables below, which Kubernetes puts in, as it does in every container's command.

Invariant: what is read here can be rendered: a preset that is wrong is refused by its name and field, before any pod.
"""

import re
from typing import Any, Final, Literal

import msgspec
import yaml

from modelward.runtimes.runtime import MODELWARD

V2, V1, TORCHSERVE, PATH = "v2", "v1", "torchserve", "path"
"""Open Inference; `/v1/models/NAME:predict`; TorchServe's own; paths of the server's own, of which nothing is known."""

Protocol = Literal["v2", "v1", "torchserve", "path"]

MODEL_NAME, MODELS_DIR, MODEL_DIR = "MODEL_NAME", "MODELS_DIR", "MODEL_DIR"
PORT, GRPC_PORT, METRICS_PORT = "PORT", "GRPC_PORT", "METRICS_PORT"
VARIABLES: Final = (MODEL_NAME, MODELS_DIR, MODEL_DIR, PORT, GRPC_PORT, METRICS_PORT)
"""Of every container of another runtime. The ports are the same for all of them, so that Services, NetworkPolicies and
whoever scrapes know them."""

_READY: Final = {V2: MODELWARD.ready, V1: f"/v1/models/$({MODEL_NAME})", TORCHSERVE: "/ping"}
_LIVE: Final = {V2: MODELWARD.live, V1: f"/v1/models/$({MODEL_NAME})", TORCHSERVE: "/ping"}
"""Where a protocol says so."""

NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_URL_PATH: Final = re.compile(r"/[A-Za-z0-9._~$()/-]{0,250}")
_HIDDEN: Final = re.compile(r"(/([A-Za-z0-9._~-]+|\*))+")
_FOLDER: Final = re.compile(r"\.|[A-Za-z0-9_$(][A-Za-z0-9._$()-]*(/[A-Za-z0-9_$(][A-Za-z0-9._$()-]*)*")
_FILE: Final = re.compile(r"[A-Za-z0-9_$(][A-Za-z0-9._$()-]*(\.\*)?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE: Final = re.compile(r"\$\(([^)]*)\)")

_LEAST_USER: Final = 1
_LOADS_ARTIFACTS: Final = 65533
"""The user of what loads a model for our own server."""

MOST_BYTES: Final = 64 << 10

_LARGEST_PATTERN: Final = 80
"""Characters of a hidden path with `*`, of which each counts for three. Envoy refuses regular expressions above 100
instructions, and with one of them the whole configuration; beside its characters a path has ten."""


class PresetError(ValueError):
    """A preset that can't be taken; the message names the field and what to write."""


class Whole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An artifact that has `file` in it brings a layout of its own, and its files go to `folder` as they are."""

    file: str
    folder: str


class Files(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the artifact's files go. `folder`: below MODELS_DIR, also what MODEL_DIR is; `file`: the name of an
    artifact that is one file, `model.*` keeps the end of its own name; None: its own name."""

    folder: str = "."
    file: str | None = None
    whole: Whole | None = None


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """One server. `ready`, `live`: paths that answer 200 while it is so; where a protocol has them they may be left
    out. `grpc`: it speaks gRPC at GRPC_PORT; `metrics`: where `/metrics` is, at PORT (http) or METRICS_PORT (separate).
    `hidden`: paths that no client reaches, with all below them; `*` is any one part of a path. `files`: None where it
    takes none. `user`: its uid, None: the image's own, which must not be root."""

    name: str
    protocol: Protocol
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    ready: str = ""
    live: str = ""
    grpc: bool = False
    metrics: Literal["http", "separate", "none"] = "none"
    hidden: tuple[str, ...] = ()
    files: Files | None = Files()
    user: int | None = None
    writable: bool = False

    def ready_for(self, name: str) -> str:
        """The path of readiness of the model `name`."""
        return put_in(self.ready or _READY.get(self.protocol, ""), name)

    def live_for(self, name: str) -> str:
        """The path of liveness."""
        return put_in(self.live or _LIVE.get(self.protocol, "") or self.ready, name)

    def with_args(self, args: tuple[str, ...]) -> "Preset":
        """With further arguments behind its own."""
        return msgspec.structs.replace(self, args=(*self.args, *args)) if args else self


def put_in(text: str, name: str) -> str:
    """`text` with the model's name, for what Kubernetes itself puts nothing into."""
    return text.replace(f"$({MODEL_NAME})", name)


def read(text: str | bytes) -> Preset:
    """One preset, from YAML. Raises PresetError."""
    if len(text) > MOST_BYTES:
        raise PresetError(f"it has {len(text)} bytes; a preset has at most {MOST_BYTES}")
    try:
        raw: Any = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise PresetError(f"it is no YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(raw, dict):
        raise PresetError("it is no mapping; write name, protocol, image and what else the runtime needs")
    try:
        preset = msgspec.convert(raw, Preset)
    except msgspec.ValidationError as error:
        raise PresetError(str(error)) from None
    problem = problem_of(preset)
    if problem is not None:
        raise PresetError(problem)
    return preset


def problem_of(preset: Preset) -> str | None:
    """What is wrong with a preset that has the right types; None: nothing."""
    if not NAME.fullmatch(preset.name):
        return f"name is {preset.name!r}; write lower-case letters, digits and '-'"
    if not preset.image.strip():
        return "image is empty; name an image"
    for field, path in (("ready", preset.ready_for("m")), ("live", preset.live_for("m"))):
        if not path:
            return f"{field} is not there, and a server of protocol {PATH} has none of itself; write its path"
        if not _URL_PATH.fullmatch(path) or ".." in path:
            return f"{field} is {path!r}; write a path such as /healthz, of letters, digits and ._~/-"
    for hidden in preset.hidden:
        if (problem := problem_of_hidden(hidden)) is not None:
            return f"hidden has {hidden!r}; {problem}"
    for name in preset.env:
        if not _VARIABLE.fullmatch(name) or name in VARIABLES:
            return f"env has {name!r}; write the name of a variable that is none of {', '.join(VARIABLES)}"
    if preset.user is not None and (preset.user < _LEAST_USER or preset.user == _LOADS_ARTIFACTS):
        return f"user is {preset.user}; neither root (0) nor {_LOADS_ARTIFACTS} runs a model's server"
    return _problem_of_files(preset.files) or _unknown_variables(preset)


def problem_of_hidden(path: str) -> str | None:
    """What to write for a path that no router can hide; None: it can."""
    if not _HIDDEN.fullmatch(path) or ".." in path:
        return "write a path such as /v2/repository, with * for any one part of it"
    if "*" in path and len(path) + 2 * path.count("*") > _LARGEST_PATTERN:
        return "it is too long for one with *: leave its end away, since what is below a path is hidden, too"
    return None


def _problem_of_files(files: Files | None) -> str | None:
    if files is None:
        return None
    folders = [("files.folder", files.folder)]
    if files.whole is not None:
        folders.append(("files.whole.folder", files.whole.folder))
        if not _FOLDER.fullmatch(files.whole.file):
            return f"files.whole.file is {files.whole.file!r}; write the path of a file in the artifact"
    for field, folder in folders:
        if not _FOLDER.fullmatch(folder):
            return f"{field} is {folder!r}; write a path below the folder of all models, or '.', without '..'"
    if files.file is not None and not _FILE.fullmatch(files.file):
        return f"files.file is {files.file!r}; write the name of a file, such as model.*"
    return None


def _unknown_variables(preset: Preset) -> str | None:
    """A slip in a variable's name would reach the server as it is written."""
    files = preset.files
    told = {
        "command": preset.command, "args": preset.args, "env": tuple(preset.env.values()),
        "ready": (preset.ready, preset.live),
        "files": (files.folder, files.file or "", files.whole.folder if files.whole else "") if files else (),
    }  # fmt: skip
    for field, texts in told.items():
        known = {MODEL_NAME} if field in ("ready", "files") else {*VARIABLES, *preset.env}
        for name in (found for text in texts for found in _REFERENCE.findall(text)):
            if name not in known:
                return f"{field} names the variable {name!r}; here there are {', '.join(sorted(known))}"
        if files is None and any(f"$({name})" in text for text in texts for name in (MODELS_DIR, MODEL_DIR)):
            return f"{field} names a folder of the model's files, and files is null; write files, or leave it out"
    return None
