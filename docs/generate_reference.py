"""Writes docs/reference from the CRDs, a page each. `--check` only says whether they are up to date."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TARGETS = ROOT / "docs" / "reference"


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


def page(crd: Mapping[str, Any]) -> str:
    """What there is to know of one kind."""
    version, kind = crd["spec"]["versions"][0], crd["spec"]["names"]["kind"]
    schema = version["schema"]["openAPIV3Schema"]
    spec, status = schema["properties"]["spec"], schema["properties"]["status"]
    head = "| field | type | | meaning |\n|---|---|---|---|\n"
    messages = "\n".join(f"- {message}" for message in dict.fromkeys(rules(schema)))
    return (
        f"# {kind}, {crd['spec']['group']}/{version['name']}\n\nGenerated from the CRD by `make docs`.\n\n## spec\n\n"
        f"{head}{chr(10).join(rows(spec, 'spec'))}\n\n## status\n\n{head}{chr(10).join(rows(status, 'status'))}\n\n"
        f"## What the API server refuses, in its words\n\n{messages}\n"
    )


def pages() -> Iterator[tuple[Path, str]]:
    """Each page and where it belongs."""
    for path in sorted((ROOT / "crds").glob("*.modelward.io.yaml")):
        crd = yaml.safe_load(path.read_text())
        yield TARGETS / f"{crd['spec']['names']['singular']}.md", page(crd)


if __name__ == "__main__":
    if "--check" in sys.argv:
        stale = [str(target.relative_to(ROOT)) for target, text in pages() if target.read_text() != text]
        sys.exit(f"{', '.join(stale)}: out of date; run `make docs`" if stale else 0)
    TARGETS.mkdir(exist_ok=True)
    for target, text in pages():
        target.write_text(text)
