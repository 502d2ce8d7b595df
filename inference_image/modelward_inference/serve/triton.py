"""What Triton's clients ask besides inference: statistics, the model's configuration, the index of models. Read-only.

Names and units are those of Triton's extensions
(https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/). Statistics are read from the
metrics, so that both say the same; times are nanoseconds, and what is not measured apart is 0.
"""

from typing import Any

from modelward_inference.artifact import formats
from modelward_inference.artifact.bundle import Tensor
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.telemetry import metrics

EXTENSIONS = ("model_configuration", "model_repository", "statistics")

_GOOD = frozenset({"200", "OK"})
_NANOSECONDS = 1e9
_NOTHING = {"count": 0, "ns": 0}


def statistics(plane: DataPlane) -> dict[str, Any]:
    """Since the process began."""
    labels = (plane.name, plane.version)
    answered = metrics.REQUEST_SECONDS.matching(labels)
    good = [series for values, series in answered if values[-1] in _GOOD]
    bad = [series for values, series in answered if values[-1] not in _GOOD]
    queue, compute, rows = (
        [series for _, series in histogram.matching(labels)]
        for histogram in (metrics.QUEUE_SECONDS, metrics.COMPUTE_SECONDS, metrics.BATCH_ROWS)
    )
    stats = {
        "name": plane.name,
        "version": plane.version,
        "last_inference": 0,
        "inference_count": round(sum(series.total for series in rows)),
        "execution_count": sum(sum(series.counts) for series in compute),
        "inference_stats": {
            "success": _duration(good), "fail": _duration(bad), "queue": _duration(queue), "compute_input": _NOTHING,
            "compute_infer": _duration(compute), "compute_output": _NOTHING, "cache_hit": _NOTHING,
            "cache_miss": _NOTHING,
        },
        "batch_stats": [],
    }  # fmt: skip
    return {"model_stats": [stats]}


def configuration(plane: DataPlane) -> dict[str, Any]:
    """As Triton writes it: where requests are joined, `max_batch_size` is above 0, and `dims` are those of one row."""
    joins = plane.max_batch_rows > 1
    return {
        "name": plane.name,
        "platform": formats.platform_of(plane.manifest.format),
        "backend": "modelward",
        "max_batch_size": plane.max_batch_rows if joins else 0,
        "input": [_tensor(tensor, joins) for tensor in plane.signature.inputs],
        "output": [_tensor(tensor, joins) for tensor in plane.signature.outputs],
    }


def index(plane: DataPlane, ready: bool) -> list[dict[str, Any]]:
    """The one model that is here."""
    state = "READY" if ready else "UNAVAILABLE"
    return [{"name": plane.name, "version": plane.version, "state": state, "reason": "" if ready else "it is ending"}]


def _duration(found: list[metrics.Series]) -> dict[str, int]:
    count, seconds = sum(sum(series.counts) for series in found), sum(series.total for series in found)
    return {"count": count, "ns": round(seconds * _NANOSECONDS)}


def _tensor(tensor: Tensor, joins: bool) -> dict[str, Any]:
    kind = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    dims = list(tensor.shape[1:] if joins else tensor.shape)
    return {"name": tensor.name, "data_type": f"TYPE_{kind}", "dims": dims or [1]}
