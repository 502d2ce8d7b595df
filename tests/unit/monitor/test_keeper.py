"""A monitor that dies begins anew, and its container does not end with it."""

import signal
import subprocess
import sys
from pathlib import Path

KEEPER = "import sys; from modelward_monitor.keeper import keep; sys.exit(keep(sys.argv[1:], pause=0.05))"
COUNTS_AND_DIES = "import sys; open(sys.argv[1], 'a').write('x'); sys.exit(3)"
WAITS = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("waiting", flush=True)
signal.pause()
"""


def keeper(*command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", KEEPER, sys.executable, "-c", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_what_dies_begins_anew(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with keeper(COUNTS_AND_DIES, str(runs)) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (3, -signal.SIGTERM)
    assert all("the monitor ended with 3" in line for line in said)
    assert len(runs.read_text()) >= 3


def test_the_end_is_passed_on_and_waited_for() -> None:
    with keeper(WAITS) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 7
