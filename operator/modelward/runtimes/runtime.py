"""A server of models as a value: its containers, its ports, its paths, and the metrics by which it is judged.

Whatever leads requests to model pods, lets them through, asks them or tells what is wrong with them takes it from here.
How its pods are rendered is not told here.
"""

import re
from dataclasses import dataclass
from typing import Final

Paths = tuple[tuple[str, str], ...]
"""Kind of match, as an HTTPRoute has it (Exact or PathPrefix), and path."""


@dataclass(frozen=True)
class Containers:
    """Names. `server`: what answers requests; `download`, `compile`: init containers that bring and load the model, in
    whose termination messages the operator reads what came of it; `keep`: the one that puts what was compiled into the
    cache; `monitor`: the sidecar that counts; `tap`: the one that passes requests on to another server than ours."""

    server: str
    download: str
    compile: str
    keep: str
    monitor: str
    tap: str

    @property
    def work(self) -> dict[str, str]:
        """What each does, as the end of "it was killed while …"."""
        return {
            self.download: "looking at the artifact", self.compile: "loading the model", self.monitor: "counting",
            self.server: "serving", self.keep: "keeping what was compiled",
            self.tap: "passing requests on",
        }  # fmt: skip


@dataclass(frozen=True)
class Ports:
    """Of a model pod. `http`, `grpc`: of the server, which has both under these names; `monitor`: of the sidecar. Of a
    pod with a tap, which has `http` and `grpc` then: `tap`, its own metrics; `behind`, `behind_grpc`, `metrics`: of the
    server."""

    http: int
    grpc: int
    monitor: int
    tap: int
    metrics: int
    behind: int
    behind_grpc: int


@dataclass(frozen=True)
class Metrics:
    """Names without the suffixes that Prometheus gives them. `requests`: a histogram of seconds with the label `code`;
    `refused`: a counter of what the model itself does not take."""

    path: str
    requests: str
    refused: str


@dataclass(frozen=True)
class Runtime:
    """`ready`, `live`: paths that answer 200 while the server is so. `rest`, `grpc`: what clients may ask. `private`:
    the prefix of what is for the operator alone; below it are `samples`, which gives out answers, and `users`, which
    counts them by user. `outcomes`: the path by which clients tell them, as a regular expression (RE2)."""

    containers: Containers
    ports: Ports
    ready: str
    live: str
    rest: Paths
    grpc: Paths
    private: str
    samples: str
    users: str
    outcomes: str
    metrics: Metrics

    @property
    def inside(self) -> str:
        """What no router passes on, as a regular expression (RE2) of whole paths."""
        return f"{re.escape(self.metrics.path)}(/.*)?|{re.escape(self.private)}.*"


MODELWARD: Final = Runtime(
    containers=Containers(
        server="server", download="download", compile="compile", keep="keep-bundle", monitor="monitor",
        tap="modelward-tap",
    ),
    ports=Ports(http=8080, grpc=9000, monitor=8081, tap=8082, metrics=8083, behind=8090, behind_grpc=8091),
    ready="/v2/health/ready",
    live="/v2/health/live",
    rest=(
        ("PathPrefix", "/v2"), ("PathPrefix", "/v1"), ("Exact", "/docs"), ("Exact", "/openapi.json"), ("Exact", "/"),
    ),
    grpc=(("PathPrefix", "/inference.GRPCInferenceService"), ("PathPrefix", "/grpc.health.v1.Health")),
    private="/modelward/",
    samples="/modelward/samples",
    users="/modelward/users",
    outcomes="/v2/models/[^/]+/outcomes/?",
    metrics=Metrics(
        path="/metrics", requests="modelward_inference_request_duration_seconds", refused="modelward_inference_refused"
    ),
)  # fmt: skip
"""Our own inference image."""
