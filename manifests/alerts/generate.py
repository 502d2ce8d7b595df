"""Writes modelward.rules.yaml and prometheusrules.yaml from the rules beside it: `python -m manifests.alerts.generate`.

`--check` only says whether they are up to date; `--runbooks=URL`: where docs/runbooks can be read.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from manifests.alerts import product, requests, slo
from manifests.alerts.rules import INTERVAL, RUNBOOKS, Alert, Group, Recording

HERE: Final = Path(__file__).parent
WEB: Final = r"https?://[^\s]+[^/\s]"
"""What RUNBOOKS may be; the chart's schema has the same."""

HEAD: Final = (
    "# Generated from the Python files beside it by `make alerts`; docs/observability.md says how it is used.\n"
)


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines as they are read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def groups(interval: int = INTERVAL) -> list[Group]:
    return [requests.recordings(interval), *slo.groups(interval), *product.groups(interval)]


def recordings() -> list[Recording]:
    return [rule for group in groups() for rule in group.rules if isinstance(rule, Recording)]


def alerts() -> list[Alert]:
    return [rule for group in groups() for rule in group.rules if isinstance(rule, Alert)]


def plain(runbooks: str = RUNBOOKS, interval: int = INTERVAL) -> dict[str, Any]:
    """A rule file of Prometheus."""
    return {"groups": [each.rendered(runbooks) for each in groups(interval)]}


def objects(runbooks: str = RUNBOOKS) -> Iterator[dict[str, Any]]:
    """The same as objects of the Prometheus operator, one a group: what an overlay leaves out it leaves out whole."""
    for each in groups():
        yield {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {
                "name": each.name,
                "labels": {"app.kubernetes.io/name": "modelward", "app.kubernetes.io/part-of": "modelward"},
            },
            "spec": {"groups": [each.rendered(runbooks)]},
        }


def text_of(documents: Iterable[dict[str, Any]]) -> str:
    return HEAD + "---\n".join(
        yaml.dump(each, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True) for each in documents
    )


def files(runbooks: str = RUNBOOKS) -> dict[Path, str]:
    """What is written, by where."""
    return {
        HERE / "modelward.rules.yaml": text_of([plain(runbooks)]),
        HERE / "prometheusrules.yaml": text_of(objects(runbooks)),
    }


if __name__ == "__main__":
    where = next((each.partition("=")[2] for each in sys.argv if each.startswith("--runbooks=")), "") or RUNBOOKS
    if where and not re.fullmatch(WEB, where):
        sys.exit(
            f"RUNBOOKS is {where[:100]!r}; write the address of a folder, such as https://wiki.example.com/runbooks"
        )
    if "--check" in sys.argv:
        stale = [path.name for path, text in files(where).items() if not path.exists() or path.read_text() != text]
        sys.exit(f"{', '.join(stale)}: out of date; run `make alerts`" if stale else 0)
    for path, text in files(where).items():
        path.write_text(text)
