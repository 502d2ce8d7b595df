"""What people see of the CRDs in a terminal: `kubectl get -o wide` fits a screen, `kubectl explain` teaches."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from libyaml import document

pytestmark = pytest.mark.unit

CRDS = {
    crd["spec"]["names"]["kind"]: crd
    for crd in (
        document(path.read_text()) for path in sorted((Path(__file__).parents[3] / "crds").glob("*.modelward.io.yaml"))
    )
}
SCREEN = 200
"""Columns of a terminal."""
PADDING = 3
"""Blanks that kubectl puts behind each column but the last."""
MESSAGE = 60
"""Columns that a text of any length has to have left: it is last, and what does not fit is its end."""

VALUES: Mapping[str, Mapping[str, str]] = {
    # The longest of a namespace as one meets them; all of them in one row.
    "ModelDeployment": {
        "Name": "fraud-scoring", "Ready": "False", "Phase": "Progressing", "Model": "s3://ml-models/fraud-scoring/17/model.on",
        "Version": "17", "Revision": "fraud-scoring-3f2a9c01de", "Rollout": "Paused 2/5 25%", "Replicas": "12/12",
        "Drifted": "3", "Problem": "ArtifactUnreachable", "Age": "187d",
    },
    "DriftPolicy": {
        "Name": "fraud-scoring", "Target": "fraud-scoring", "Verdict": "NoDrift", "Feature": "quality:missing:amount",
        "Value": "wasserstein 0.0213", "Quality": "rocAuc 0.9132", "Parity": "Unknown",
        "Run": "fraud-scoring-3f2a9c01de", "Last Run": "31h",
        "Result": "RolledBack", "Ready": "False", "Problem": "NeedsAPerson", "Age": "187d",
    },
    "BatchInference": {
        "Name": "churn-daily", "Model": "s3://ml-models/fraud-scoring/17/model.on", "Version": "17",
        "Phase": "Suspended", "Rows": "123456789", "Rejected": "12345",
        "Drift": "SeveralPolicies", "Last": "187d", "Age": "187d",
    },
    "ModelRegistry": {
        "Name": "mlflow-production", "Kind": "SageMaker", "Ready": "False", "Following": "128", "Last Poll": "4m30s",
        "Age": "187d",
    },
    "RetrainingRun": {
        "Name": "fraud-scoring-3f2a9c01de", "Target": "fraud-scoring", "Phase": "RollingOut", "Reason": "Schedule",
        "Model": "s3://ml-models/fraud-scoring/17/model.on", "Holdout": "0.9132 (0.9077)", "Age": "187d",
    },
}  # fmt: skip


def columns(kind: str) -> list[dict[str, Any]]:
    return list(CRDS[kind]["spec"]["versions"][0]["additionalPrinterColumns"])


def width(values: Mapping[str, str]) -> int:
    return sum(max(len(name), len(value)) + PADDING for name, value in values.items()) - PADDING


@pytest.mark.parametrize("kind", CRDS)
def test_wide_output_fits_a_screen(kind: str) -> None:
    shown = [each["name"] for each in columns(kind)]
    known = VALUES[kind]
    assert ["Name", *(each for each in shown if each != "Message")] == [*known], "say how long a new column gets"
    room = PADDING + MESSAGE if "Message" in shown else 0
    assert width(known) + room <= SCREEN, f"{kind}: {width(known) + room} columns; take one away, or say it shorter"


@pytest.mark.parametrize("kind", CRDS)
def test_a_text_of_any_length_is_the_last_column_and_of_wide_output_alone(kind: str) -> None:
    for each in columns(kind)[:-1]:
        assert not each["jsonPath"].endswith("essage"), each["name"]
    last = columns(kind)[-1]
    assert not last["jsonPath"].endswith("essage") or last["priority"] == 1


@pytest.mark.parametrize("kind", CRDS)
def test_every_column_says_what_it_is_and_shows_a_field_that_there_is(kind: str) -> None:
    schema = CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for each in columns(kind):
        assert each["name"] == "Age" or len(each["description"].split()) >= 3, each["name"]
        here = schema
        for part in re.sub(r"\[\?\(@\.type==\"\w+\"\)\]", "[]", each["jsonPath"]).lstrip(".").split("."):
            if part == "metadata":
                break
            here = here["properties"][part.removesuffix("[]")]
            here = here["items"] if part.endswith("[]") else here


def fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every field below `schema`, with its path; not apiVersion, kind and metadata, which the API server explains."""
    for name, field in schema.get("properties", {}).items():
        if path or name in ("spec", "status"):
            yield f"{path}.{name}", field
            yield from fields(field, f"{path}.{name}")
            for below in ("items", "additionalProperties"):
                if isinstance(field.get(below), dict):
                    yield from fields(field[below], f"{path}.{name}")


def said(name: str, description: str) -> set[str]:
    """The words of a description that say something: not the name again, and no article."""
    parts = {part.lower() for part in re.findall(r"[A-Z]?[a-z]+", name)}
    words = {word.lower() for word in re.findall(r"[\w'-]+", description)}
    return (
        words
        - parts
        - {part + "s" for part in parts}
        - {"the", "a", "an", "its", "of", "this", "it", "is", name.lower()}
    )


def test_descriptions_that_only_name_their_field_are_found() -> None:
    assert not said("command", "The command.")
    assert not said("claimName", "Its name.") - {"claim"}
    assert said("command", "Program and arguments.") == {"program", "and", "arguments"}


@pytest.mark.parametrize("kind", CRDS)
def test_explain_teaches_every_field(kind: str) -> None:
    schema = CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert len(schema["description"].split()) >= 8
    seen = list(fields(schema, ""))
    assert len(seen) >= 35
    poor = [
        f"{path}: {field.get('description')!r}"
        for path, field in seen
        if len(field.get("description", "").split()) < 3 or not said(path.rpartition(".")[2], field["description"])
    ]
    assert poor == []
