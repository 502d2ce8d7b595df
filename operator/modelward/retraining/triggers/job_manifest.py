"""The Job of a retraining run: the user's template, and what makes it ours."""

import math
from collections.abc import Mapping
from typing import Any, Final

from modelward.api import names
from modelward.api.driftpolicy import DriftPolicy
from modelward.api.owners import owner_reference
from modelward.kube.manifests import literal
from modelward.retraining.lifecycle.briefing import briefing, environment
from modelward.retraining.lifecycle.progress import deadline_of
from modelward.retraining.lifecycle.run import Run
from modelward.retraining.persistence.run_object import KIND
from modelward.retraining.target import TargetFacts

RESERVED: Final = (names.GROUP, "app.kubernetes.io")
"""Prefixes of labels and annotations by which objects are told apart here."""


def job(policy: DriftPolicy, template: Mapping[str, Any], facts: TargetFacts, run: Run) -> dict[str, Any]:
    """The manifest. `template`: spec.retrain.job.template. What the user wrote stays but for our labels and names, and
    the annotations that we read again: with these a pod would pass for one of a model's."""
    own = labels(policy, facts.name, run.name)
    metadata, spec = template.get("metadata") or {}, template["spec"]
    pod_template = spec["template"]
    pod = pod_template["spec"]
    told = environment(briefing(policy, facts, run))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": run.name,
            "namespace": policy.namespace,
            "labels": {**_foreign(metadata.get("labels")), **own},
            "annotations": {
                **_foreign(metadata.get("annotations")),
                names.ANNOTATION_REPORTER: pod["containers"][0]["name"],
            },
            "ownerReferences": [owner_reference(KIND, run.name, run.uid)],
        },
        "spec": {
            "backoffLimit": 0,
            **spec,
            "activeDeadlineSeconds": max(1, math.ceil(deadline_of(policy))),
            "template": {
                **pod_template,
                "metadata": _pod_metadata(pod_template.get("metadata") or {}, own),
                "spec": {
                    "restartPolicy": "Never",
                    **pod,
                    "containers": [_container(each, told) for each in pod["containers"]],
                },
            },
        },
    }


def labels(policy: DriftPolicy, target: str, run: str) -> dict[str, str]:
    """Of the Job and its pods."""
    return {
        names.LABEL_NAME: f"modelward-{names.COMPONENT_RETRAINING}",
        names.LABEL_INSTANCE: policy.name,
        names.LABEL_COMPONENT: names.COMPONENT_RETRAINING,
        names.LABEL_PART_OF: "modelward",
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_POLICY: policy.name,
        names.LABEL_TARGET: target,
        names.LABEL_RUN: run,
    }


def _pod_metadata(metadata: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, Any]:
    annotations = _foreign(metadata.get("annotations"))
    named = {**metadata, "labels": {**_foreign(metadata.get("labels")), **own}}
    return {**named, "annotations": annotations} if annotations else _without(named, "annotations")


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def _foreign(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Labels or annotations without those whose prefix (the part before the slash) is ours to set."""
    return {key: value for key, value in (values or {}).items() if not _is_reserved(key.partition("/")[0])}


def _is_reserved(prefix: str) -> bool:
    return prefix in RESERVED or prefix.endswith(tuple(f".{each}" for each in RESERVED))


def _container(container: Mapping[str, Any], told: Mapping[str, str]) -> dict[str, Any]:
    """What the user sets wins over ours, and may refer to it: ours come first."""
    given = container.get("env") or []
    taken = {each.get("name") for each in given}
    ours = [{"name": name, "value": literal(value)} for name, value in told.items() if name not in taken]
    return {"terminationMessagePolicy": "FallbackToLogsOnError", **container, "env": [*ours, *given]}
