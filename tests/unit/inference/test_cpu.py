"""The container's CPU limit, by either version of cgroups."""

import os
from pathlib import Path

import pytest

from modelward_inference import cpu


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({}, 8),
    ],
)
def test_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert cpu.limit(write(tmp_path, files)) == cores


def test_a_server_without_a_limit_does_not_take_a_large_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    none, some = tmp_path / "none", tmp_path / "some"
    none.mkdir()
    some.mkdir()
    write(some, {"cpu.max": "3200000 100000\n"})
    assert cpu.limit(none, cpu.WITHOUT_LIMIT) == cpu.WITHOUT_LIMIT
    assert cpu.limit(none) == 64
    assert cpu.limit(some, cpu.WITHOUT_LIMIT) == 32, "who names a limit has all of it"


def test_a_server_tells_its_libraries_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "limit", lambda most=None: most or 64)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # so that what is set here goes again
        monkeypatch.delenv(name)
    assert cpu.limit_library_threads(cpu.WITHOUT_LIMIT) == 8
    assert {os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"8"}


def test_without_linux_it_is_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert cpu.limit(tmp_path) == 6
