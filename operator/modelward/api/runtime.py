"""Which server answers, where it is not ours, as a user asks for it (`spec.runtime`): a preset or a container. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from modelward.api.resources import NONE_GIVEN, Resources, parse_resources

IN_IMAGE: Final = "image"
"""Scheme of spec.model.uri where the runtime's own image holds the model: nothing is downloaded."""


TAPPED: Final = ("v2", "v1")
"""Protocols whose requests and answers a tap can read."""

TAP_PORTS: Final = ("tap-metrics", "runtime-metrics", "behind-tap", "behind-tap-grpc")
"""Names of ports that pods with a tap have besides."""


@dataclass(frozen=True)
class Variable:
    """A variable of a container; Secrets come by spec.template."""

    name: str
    value: str = ""


@dataclass(frozen=True)
class OwnContainer:
    """A server of the user's own. `ready_path`, `live_path`: None: the protocol's. `metrics`: where `/metrics` is."""

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    protocol: str = "path"
    ready_path: str | None = None
    live_path: str | None = None
    grpc: bool = False
    metrics: str = "http"
    run_as_user: int | None = None
    read_only_root_filesystem: bool = True


@dataclass(frozen=True)
class Tap:
    """The proxy before the server, which tells what that is asked and answers. `max_body_size`: of a request and of an
    answer that are captured, None: the image's."""

    max_body_size: str | int | None = None
    resources: Resources = NONE_GIVEN


@dataclass(frozen=True)
class Runtime:
    """Either `name`, of a preset of the installation, with `args` behind its own; or `container`. `tap`: None: clients
    ask the server itself."""

    name: str | None = None
    args: tuple[str, ...] = ()
    container: OwnContainer | None = None
    tap: Tap | None = None


def is_in_image(uri: str) -> bool:
    """Whether the model of this address comes with its server's image."""
    return urlsplit(uri).scheme == IN_IMAGE


def parse_runtime(raw: Mapping[str, Any]) -> Runtime:
    """`spec.runtime`. Raises KeyError, TypeError, ValueError for what the CRD would have refused."""
    container, tap = raw.get("container"), raw.get("tap")
    return Runtime(
        name=raw.get("name"),
        args=tuple(map(str, raw.get("args") or ())),
        container=None if container is None else _container(container),
        tap=None if tap is None else Tap(tap.get("maxBodySize"), parse_resources(tap.get("resources"))),
    )


def _container(raw: Mapping[str, Any]) -> OwnContainer:
    user = raw.get("runAsUser")
    return OwnContainer(
        image=str(raw["image"]),
        command=tuple(map(str, raw.get("command") or ())),
        args=tuple(map(str, raw.get("args") or ())),
        env=tuple(Variable(str(each["name"]), str(each.get("value", ""))) for each in raw.get("env") or ()),
        protocol=str(raw.get("protocol", OwnContainer.protocol)),
        ready_path=raw.get("readyPath"),
        live_path=raw.get("livePath"),
        grpc=bool(raw.get("grpc", OwnContainer.grpc)),
        metrics=str(raw.get("metrics", OwnContainer.metrics)),
        run_as_user=None if user is None else int(user),
        read_only_root_filesystem=bool(raw.get("readOnlyRootFilesystem", OwnContainer.read_only_root_filesystem)),
    )
