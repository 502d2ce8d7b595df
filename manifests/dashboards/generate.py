"""Writes the dashboards beside this file as JSON, from fleet.py, model.py and operation.py.

`python -m manifests.dashboards.generate` (`make dashboards`); `--check` only says whether they are up to date.
kustomization.yaml makes ConfigMaps of them.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from manifests.dashboards import fleet, model, operation

HERE: Final = Path(__file__).parent
DASHBOARDS: Final[Mapping[str, Callable[[], Dashboard]]] = {
    "fleet.json": fleet.build, "model.json": model.build, "operator.json": operation.build,
}  # fmt: skip


def rendered(build: Callable[[], Dashboard]) -> str:
    """A file's text. Panels are numbered by their order: links to one hold as long as that does."""
    made: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(build().build()))
    for number, panel in enumerate(made["panels"], 1):
        panel["id"] = number
    for annotation in made["annotations"].get("list", ()):
        # A field of the data source's, which the SDK does not have.
        annotation["titleFormat"] = model.TITLES[annotation["name"]]
    return json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    old = [name for name, build in DASHBOARDS.items() if not _is_current(HERE / name, rendered(build))]
    if "--check" in sys.argv:
        for name in old:
            print(f"{name} is out of date; run `make dashboards`", file=sys.stderr)
        return 1 if old else 0
    for name, build in DASHBOARDS.items():
        (HERE / name).write_text(rendered(build))
    return 0


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
