"""Debian's promtool: checks rule files, and evaluates them over series that a test writes down."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from libyaml import written
from localcluster import debian

PACKAGES = {"promtool": "prometheus"}

FIRING = 'count by (alertname, severity, slo, window, cause) (ALERTS{alertstate="firing"})'
"""Which alerts fire, by the labels that tell rules of one name apart."""


EVER = FIRING.replace("ALERTS{", "max_over_time(ALERTS{").replace("})", "}[%s]))")
"""Which have fired within a time."""


class Promtool:
    """`folder`: for its files. Raises SetupError where it can't be installed."""

    def __init__(self, folder: Path) -> None:
        debian.ensure(PACKAGES)
        self._folder = folder
        self._program = shutil.which("promtool") or "/usr/bin/promtool"

    def check(self, rules: Path) -> str:
        """What it says of a rule file, where it finds anything wrong; else an empty text."""
        done = self._run("check", "rules", "--lint=all", "--lint-fatal", rules)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def test(self, rules: Mapping[str, Any], groups: Sequence[Mapping[str, Any]], every: str = "1m") -> str:
        """What of `groups` (tests of promtool's) does not come about by `rules`; else an empty text. `every`: the time
        between two evaluations."""
        (self._folder / "rules.yaml").write_text(written(dict(rules)))
        order = [each["name"] for each in rules["groups"]]  # else it is by chance
        tests = {"rule_files": ["rules.yaml"], "evaluation_interval": every, "group_eval_order": order}
        (self._folder / "tests.yaml").write_text(yaml.safe_dump({**tests, "tests": list(groups)}, width=1 << 30))
        done = self._run("test", "rules", "tests.yaml")
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def import_blocks(self, series: Path, data: Path) -> None:
        """What `series` says (OpenMetrics with times) as the data of a Prometheus that has not begun."""
        month = "--max-block-duration=744h"
        done = self._run("tsdb", "create-blocks-from", "openmetrics", "--quiet", month, series, data)
        assert done.returncode == 0, done.stderr

    def _run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [self._program, *map(str, arguments)]
        return subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)


def series(metric: str, values: str, /, **labels: str) -> dict[str, str]:
    """One that a test begins with. `values`: in promtool's notation, as 0+60x100."""
    told = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return {"series": f"{metric}{{{told}}}", "values": values}


def firing(at: str, alerts: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """A test that at this time these fire, by the labels of FIRING, and no others."""
    samples = [
        {"labels": "{" + ", ".join(f'{label}="{value}"' for label, value in sorted(each.items())) + "}", "value": 1}
        for each in alerts
    ]
    return [{"expr": FIRING, "eval_time": at, "exp_samples": samples}]
