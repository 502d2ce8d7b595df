"""Most tests of the command line run it in their own process: as a program it does the same."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from .world import Namespace


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("status",), 0),
        (("status", "frad"), 1),
        (("lineage", "fraud", "-o", "json"), 0),
        (("lineage", "some-id", "--at", "2020-01-01"), 1),
        (("rollout", "pause", "fraud", "--timeout", "x"), 2),
    ],
)
def test_it_says_and_asks_the_same(tmp_path: Path, arguments: Sequence[str], code: int) -> None:
    told = []
    for name in ("here", "program"):
        (tmp_path / name).mkdir()
        namespace = Namespace(tmp_path / name)
        run = namespace.modelward if name == "here" else namespace.program_modelward
        ended = run(*arguments)
        told.append((ended.returncode, ended.stdout, ended.stderr, sorted(map(list, namespace.calls()))))
    assert told[0] == told[1]
    assert told[0][0] == code
