"""What the monitor makes of the process that brings the log to its store: crashed, mute, slow, busy; and of the store's
errors."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.stub import Stubber

from modelward_inference.fetch.sources.s3 import DENIED
from modelward_monitor.predictionlog import shipper
from modelward_monitor.predictionlog.shipper import PAUSE_FIRST, PAUSE_MOST, Shipper, Work
from modelward_monitor.predictionlog.stores import S3, Claim, StoreError


class World:
    """A shipper whose process is a line of Python, and whose clock stands."""

    def __init__(self, program: str, epoch: str = "e") -> None:
        self.now, self.done = 100.0, 0
        command = (sys.executable, "-c", program)
        self.shipper = Shipper(
            lambda: Work(epoch, 2, 1, 0), self._told, command, lambda: self.now, lambda: self.now, lambda: 0.5
        )

    def _told(self) -> None:
        self.done += 1


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        ("raise SystemExit(3)", "Failed"),
        ("print('no JSON')", "Failed"),
        ("print('[1]')", "Failed"),
        ("import os; os.kill(os.getpid(), 9)", "Failed"),
        ('print(\'{"error": {"kind": "Away", "message": "it is away"}}\'); raise SystemExit(1)', "Away"),
    ],
)
async def test_a_process_that_fails_is_told_and_tried_again_more_seldom(program: str, kind: str) -> None:
    world = World(program)
    for _ in range(8):
        assert not await world.shipper.ship()
        world.now += 1
    failure = world.shipper.failure
    assert failure is not None
    assert (failure.kind, failure.since) == (kind, 100.0)
    assert world.done == 8
    assert PAUSE_FIRST < world.shipper._pause == PAUSE_MOST


async def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper, "LONGEST", 0.5)
    world = World("import time; time.sleep(3600)")
    assert not await world.shipper.ship()
    assert world.shipper.failure is not None
    assert world.shipper.failure.kind == "Away"


async def test_another_one_at_work_is_no_failure() -> None:
    world = World('print(\'{"error": {"kind": "Busy", "message": "another"}}\')')
    assert not await world.shipper.ship()
    assert world.shipper.failure is None


async def test_what_worked_ends_a_failure() -> None:
    world = World("raise SystemExit(1)")
    await world.shipper.ship()
    world.shipper._command = (sys.executable, "-c", "print('{}')")
    assert await world.shipper.ship()
    assert world.shipper.failure is None


async def test_nothing_is_begun_before_it_is_known_which_segment_is_open() -> None:
    """Else the open one would be taken for one of a lost snapshot, and its rows be in two files."""
    world = World("print('{}')", epoch="")
    assert not await world.shipper.ship()
    assert world.done == 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.ENOSPC, "Full"), (errno.EDQUOT, "Full"), (errno.EACCES, "Denied"), (errno.EROFS, "Denied"), (5, "Away")],
)
def test_a_claims_errors_have_a_cure_and_leave_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    root = tmp_path / "claim"
    root.mkdir()

    def fails(_source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(code, "as the kernel says")

    monkeypatch.setattr("shutil.copyfile", fails)
    with pytest.raises(StoreError, match="prediction log") as error:
        Claim(root, "a").put("v1/x.parquet", source)
    assert error.value.kind == kind
    assert [each for each in root.rglob("*") if each.is_file()] == []


def test_one_whose_monitor_was_killed_ends_in_words() -> None:
    end, given = os.pipe()
    os.close(end)
    command = [sys.executable, "-m", "modelward_monitor.predictionlog.ship", "--epoch=e", "--open=1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREDICTION_LOG")}
    done = subprocess.run(command, stdout=given, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    os.close(given)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert "the monitor that asked has ended" in done.stderr


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3]:
    """One for all: to make a client takes seconds."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, "x")
        yield S3("b", "log/")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, "Denied") for code in sorted(DENIED)),
        ("NoSuchBucket", "Missing"), ("QuotaExceeded", "Full"), ("SlowDown", "Away"),
    ],
)  # fmt: skip
def test_a_buckets_refusals_are_those_that_a_model_is_fetched_with(bucket: S3, code: str, kind: str) -> None:
    with Stubber(bucket._client) as stub:
        stub.add_client_error("delete_object", service_error_code=code)
        with pytest.raises(StoreError, match="s3://b/log/") as error:
            bucket.delete("v1/x.parquet")
    assert error.value.kind == kind
