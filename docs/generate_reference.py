"""Writes docs/reference/modeldeployment.md from the CRD. `--check` only says whether it is up to date."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CRD = ROOT / "crds" / "modeldeployments.modelward.io.yaml"
TARGET = ROOT / "docs" / "reference" / "modeldeployment.md"


def rows(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """A table row for each field below `schema`."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        kind = field.get("type", "quantity")
        notes = ["required"] if name in required else []
        if "default" in field and field["default"] != {}:
            notes.append(f"default `{field['default']}`")
        text = " ".join(field.get("description", "").split())
        yield f"| `{here}` | {kind} | {', '.join(notes)} | {text} |"
        yield from rows(field, here)
        if isinstance(field.get("items"), dict):
            yield from rows(field["items"], f"{here}[]")


def rules(schema: Mapping[str, Any]) -> Iterator[str]:
    """Every rule's message once."""
    for rule in schema.get("x-kubernetes-validations", []):
        yield " ".join(rule["message"].split())
    for field in schema.get("properties", {}).values():
        yield from rules(field)


def page() -> str:
    schema = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec, status = schema["properties"]["spec"], schema["properties"]["status"]
    head = "| field | type | | meaning |\n|---|---|---|---|\n"
    messages = "\n".join(f"- {message}" for message in dict.fromkeys(rules(schema)))
    return (
        "# ModelDeployment, modelward.io/v1alpha1\n\nGenerated from the CRD by `make docs`.\n\n## spec\n\n"
        f"{head}{chr(10).join(rows(spec, 'spec'))}\n\n## status\n\n{head}{chr(10).join(rows(status, 'status'))}\n\n"
        f"## What the API server refuses, in its words\n\n{messages}\n"
    )


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.read_text() == page() else f"{TARGET.relative_to(ROOT)} is out of date; run `make docs`")
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(page())
