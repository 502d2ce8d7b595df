"""Which requests a pod answered: found again by any process, bounded, and never a cause for anything else to fail."""

import json
import os
import subprocess
import sys
import tracemalloc
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modelward_inference.capture.requests import Requests
from modelward_monitor.answered import AT_ONCE, BLOCK, NEWER, OLDER, PAUSE, SALT, Answered, find, keys
from unit.inference.rest_process import ask, serving
from unit.inference.test_capture_served import body, rows_total, until

from .worlds import DEADLINE, PACKAGE, MonitorProcess, batch, reference, send, write_bundle


def ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def requests(
    names: Sequence[str], time: float = 1000.5, arms: Sequence[str] = (), firsts: Sequence[int] = ()
) -> Requests:
    count = len(names)
    arms, firsts = arms or ["stable"] * count, firsts or [0] * count
    return Requests(names, [None] * count, arms, [1] * count, firsts, [time] * count, [0.001] * count)


def noted(folder: Path, *each: Requests, limit: int = 1 << 20) -> Answered:
    made = Answered(folder, limit)
    for one in each:
        made.note(one)
        made.flush()
    return made


NAMES = [*ids(3), "order-7", "", "ü" * 9, "x" * 36, str(uuid.uuid4()).upper()]


def test_what_was_noted_is_found_with_its_time_and_its_arm(tmp_path: Path) -> None:
    arms = ["stable", "candidate", "shadow", "direct", "variant", "stable", "stable", "unheard of"]
    noted(tmp_path, requests(NAMES, 1000.9, arms)).close()
    for name, arm in zip(NAMES, arms, strict=True):
        found = find(tmp_path, name)
        assert found.answers == ((1000, arm if arm != "unheard of" else "direct"),)
        assert (found.since, found.requests) == (1000, len(NAMES))
    for other in (*ids(20), "order-8", NAMES[0][:-1], f"{NAMES[0]} "):
        assert find(tmp_path, other).answers == ()


def test_many_are_hashed_a_part_at_a_time_and_all_are_found(tmp_path: Path) -> None:
    """What fits the processor's cache: all at once take several times the memory, and with it the time."""
    names = ids(5 * AT_ONCE - 1)
    made = noted(tmp_path, requests(["first"]), limit=16 << 20)
    made.note(requests(names))
    tracemalloc.start()
    made.flush()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    made.close()
    assert peak < 80 * len(names), "the ids alone are 36 bytes each, in two forms, and 72 as numbers"
    assert find(tmp_path, "first").requests == len(names) + 1
    for name in (names[0], names[AT_ONCE - 1], names[AT_ONCE], names[-1]):
        assert find(tmp_path, name).answers == ((1000, "stable"),)


def test_nothing_is_remembered_where_nothing_came(tmp_path: Path) -> None:
    made = noted(tmp_path / "none", Requests())
    made.note(None)
    made.flush()
    found = find(tmp_path / "none", "a")
    assert (found.answers, found.since, found.requests) == ((), None, 0)


def test_a_key_hangs_on_the_id_and_the_salt_alone_and_two_ids_have_two() -> None:
    names, salt = ids(20_000), b"s" * SALT
    together = keys(names, salt)
    assert len(np.unique(together)) == len(names)
    assert [int(keys([name], salt)[0]) for name in names[:50]] == [int(each) for each in together[:50]]
    mixed = keys([*names[:5], "short", "ü"], salt)
    assert list(mixed[:5]) == list(together[:5]), "in whatever company"
    assert not set(keys([*names[:5], "short"], b"t" * SALT)) & {*mixed, *together}
    known = keys(["6e4b4a0a-6ec5-4a0b-9a58-6d1fdc6a4f64", "order-7"], salt), keys(["order-7"], salt)
    assert [int(each) for found in known for each in found] == [KNOWN[0], KNOWN[1], KNOWN[1]], "files outlive a release"


KNOWN = (12499660045879444968, 5912119973752186464)


def test_a_request_whose_rows_came_in_parts_is_remembered_once(tmp_path: Path) -> None:
    first, second = ids(2)
    noted(tmp_path, requests([first, second], firsts=[0, 0]), requests([second], 1010, firsts=[40]))
    assert find(tmp_path, second).requests == 2
    assert find(tmp_path, second) == replace(find(tmp_path, first), answers=((1000, "stable"),))


def test_memory_is_bounded_and_the_oldest_goes_first(tmp_path: Path) -> None:
    limit, names = 10_000, ids(5000)
    made = Answered(tmp_path, limit)
    for index in range(0, len(names), 50):
        made.note(requests(names[index : index + 50], 1000 + index))
        made.flush()
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= limit
    assert find(tmp_path, names[0]).answers == ()
    newest = find(tmp_path, names[-1])
    assert newest.answers == ((1000 + len(names) - 50, "stable"),)
    assert newest.since is not None
    assert limit // 2 // 8 * 0.9 < newest.requests < limit // 8
    found = [bool(find(tmp_path, name).answers) for name in names[::50]]
    assert found == sorted(found), "none is missing between those that are there"


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 23])
def test_what_a_crash_cut_off_hides_nothing_before_or_behind_it(tmp_path: Path, cut: int) -> None:
    before, last, behind = ids(3)
    noted(tmp_path, requests([before]), requests([last, *ids(2)])).close()
    path = tmp_path / NEWER
    path.write_bytes(path.read_bytes()[:-cut])
    noted(tmp_path, requests([behind], 2000)).close()
    assert find(tmp_path, before).answers
    assert find(tmp_path, behind).answers == ((2000, "stable"),)
    assert not find(tmp_path, last).answers


@pytest.mark.parametrize(
    "raw", [b"", b"\0" * 50, b"x", b"s" * 16 + BLOCK.pack(1, 60_000, 1, 0xA5) + b"short", b"\xff" * 1000]
)
def test_a_file_that_is_none_is_begun_anew(tmp_path: Path, raw: bytes) -> None:
    for name in (NEWER, OLDER):
        (tmp_path / name).write_bytes(raw)
    (name,) = ids(1)
    assert find(tmp_path, name).answers == ()
    noted(tmp_path, requests([name])).close()
    assert find(tmp_path, name).answers


def test_a_disk_that_can_not_be_written_costs_the_memory_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "answered").write_text("in the way")
    made = Answered(tmp_path / "answered")
    for name in ids(20):
        made.note(requests([name]))
        made.flush()
    assert [record.getMessage() for record in caplog.records if "not remembered" in record.getMessage()] != []
    assert len(caplog.records) == 1, "once"
    (tmp_path / "answered").unlink()
    for name in ids(PAUSE + 1):
        made.note(requests([name]))
        made.flush()
    assert find(tmp_path / "answered", name).answers, "it is tried again"


def lookup(monitor: MonitorProcess, request_id: str) -> dict[str, object]:
    """As `kubectl exec` runs it."""
    command = [sys.executable, "-m", "modelward_inference", "answered", request_id]
    ended = subprocess.run(command, env=monitor.environment, capture_output=True, timeout=DEADLINE, check=True)
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def test_a_monitor_that_is_killed_has_what_it_acknowledged(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    names = ids(40)
    with MonitorProcess(tmp_path) as monitor:
        send(monitor.socket, *(replace(batch(n, 1), requests=requests([names[n]], 1000 + n)) for n in range(1, 20)))
        monitor.kill()
        assert lookup(monitor, names[7])["answers"] == [{"time": 1007, "arm": "stable"}]
        monitor.start()
        send(monitor.socket, *(replace(batch(n, 1), requests=requests([names[n]], 1000 + n)) for n in range(20, 40)))
        assert all(lookup(monitor, names[n])["answers"] for n in (1, 19, 20, 39))
        assert lookup(monitor, str(uuid.uuid4())) == {
            "schema_version": 1, "answers": [], "since": 1001, "requests": 39,
        }  # fmt: skip


def test_what_a_server_answered_is_found_by_the_id_of_its_request(tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    bundle.mkdir()
    with (
        MonitorProcess(bundle, LEARN_ROWS="100") as monitor,
        serving(bundle, CAPTURE_SOCKET=str(monitor.socket)) as server,
    ):
        (good, bad) = ids(2)
        assert ask(server, body(1, 2), x_request_id=good)[0] == 200
        assert ask(server, b"{", x_request_id=bad)[0] == 400
        until(lambda: rows_total(server, "sent") == 2)
        until(lambda: bool(lookup(monitor, good)["answers"]))
        assert lookup(monitor, bad)["answers"] == [], "no model answered it"


def test_a_question_that_fails_is_nothing_that_became_of_the_container(tmp_path: Path) -> None:
    (tmp_path / "answered").mkdir()
    (tmp_path / "answered" / NEWER).mkdir()  # can't be read
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "MONITOR_DIR": str(tmp_path)}
    environment["TERMINATION_LOG"] = str(tmp_path / "termination")
    command = [sys.executable, "-m", "modelward_inference", "answered", "--", "a"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("modelward answered: ")
    assert not (tmp_path / "termination").exists()
