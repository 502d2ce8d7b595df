"""Writes argocd-cm-patch.yaml from the Lua scripts beside it. `--check` only says whether it is up to date."""

import sys
from pathlib import Path
from textwrap import indent

HERE = Path(__file__).parent
TARGET = HERE / "argocd-cm-patch.yaml"
KIND = "modelward.io_ModelDeployment"
KINDS = (
    "modelward.io_BatchInference",
    "modelward.io_DriftPolicy",
    KIND,
    "modelward.io_ModelRegistry",
    "modelward.io_RetrainingRun",
)


def block(key: str, text: str) -> str:
    """`text` under `key`, as a literal of YAML."""
    return f"{key}: |\n{indent(text, '  ')}"


def actions() -> str:
    """The actions as Argo CD wants them: YAML inside of the ConfigMap's YAML."""
    definitions = "".join(
        f"- name: {script.parent.name}\n{indent(block(script.name, script.read_text()), '  ')}"
        for script in sorted(HERE.glob("actions/*/action.lua"))
    )
    discovery = HERE / "actions" / "discovery.lua"
    return f"{block(discovery.name, discovery.read_text())}definitions:\n{definitions}"


def patch() -> str:
    script = (HERE / "health.lua").read_text()
    health = "".join(block(f"resource.customizations.health.{kind}", script) for kind in KINDS)
    custom = block(f"resource.customizations.actions.{KIND}", actions())
    return (
        "# Generated from the Lua scripts beside it by `make argocd`; the README says how to install it.\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\ndata:\n" + indent(health + custom, "  ")
    )


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.read_text() == patch() else f"{TARGET.name} is out of date; run `make argocd`")
    TARGET.write_text(patch())
