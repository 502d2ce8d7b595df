"""What an author of ours writes, as tests of admission have it: an object of each kind, with what a case is about."""

from typing import Any

S3 = "s3://models/fraud/3/model.onnx"
Object = dict[str, Any]


def model(**spec: Any) -> Object:
    return {"kind": "ModelDeployment", "spec": {"model": {"uri": S3}} | spec}


def pods(**pod: Any) -> Object:
    return model(template={"spec": pod})


def sidecar(container: Object) -> Object:
    return pods(containers=[{"name": "proxy", "image": "proxy:1", **container}])


def drift(retrain: Object | None = None) -> Object:
    return {"kind": "DriftPolicy", "spec": {"target": {"name": "fraud"}} | ({"retrain": retrain} if retrain else {})}


def job(container: Object | None = None, apply: str = "Manual", **pod: Any) -> Object:
    first = {"name": "train", "image": "train:1", **(container or {})}
    template = {"spec": {"template": {"spec": {"containers": [first], **pod}}}}
    return drift({"apply": apply, "job": {"template": template}})


def quality(**fields: Any) -> Object:
    made = drift()
    made["spec"]["quality"] = {"task": {"kind": "Classes", "label": "output.label"}, **fields}
    return made


def parity(**features: Any) -> Object:
    made = drift()
    made["spec"]["parity"] = {"features": {"uri": "s3://lake/features", **features}}
    return made


def gate(**outcomes: Any) -> Object:
    """A rollout that is judged by outcomes, which lie there."""
    judged = {"task": {"kind": "Classes", "label": "output.label"}, "metrics": [{"name": "accuracy", "margin": "0"}]}
    gates = {"quality": {**judged, "outcomes": outcomes}}
    return model(monitor={}, predictionLog={"uri": "s3://lake/log"}, rollout={"gates": gates})


def webhook(apply: str = "Manual") -> Object:
    return drift({"apply": apply, "webhook": {"url": "https://ci.example.com/x", "secretRef": {"name": "sign"}}})


def pipeline(kind: str, **fields: Any) -> Object:
    return drift({"apply": "Manual", kind: fields})


def registry(**spec: Any) -> Object:
    return {"kind": "ModelRegistry", "spec": {"mlflow": {"url": "http://mlflow:5000"}} | spec}


def batch(model: Object | None = None, **spec: Any) -> Object:
    return {
        "kind": "BatchInference",
        "spec": {
            "model": model or {"uri": S3}, "input": {"uri": "s3://lake/in/"}, "output": {"uri": "s3://lake/out/"},
            "keys": ["id"],
        } | spec,
    }  # fmt: skip
