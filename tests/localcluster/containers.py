"""What runs on a node, ended without its kubelet: containers, their shims, cgroups and mounts."""

import contextlib
import os
import signal
from pathlib import Path

from localcluster import node
from localcluster.clients import ctr
from localcluster.commands import run
from localcluster.node import Node
from localcluster.progress import wait_for


def end(of: Node) -> None:
    """Kill every container, and the shims that watch over them. Whether its containerd still runs or not."""
    if node.containerd_answers(of):
        for line in ctr("tasks", "list", "--quiet", of=of, check=False).split():
            ctr("tasks", "kill", "--signal", "SIGKILL", "--all", line, of=of, check=False)
    shims = [
        pid for pid in _pids() if _command(pid).startswith("containerd-shim") or "/containerd-shim" in _command(pid)
    ]
    for pid in shims:
        # The whole word: one node's socket may begin as another's does.
        if str(of.socket) in _command(pid).split():
            _kill(pid)
    for folder in _pod_cgroups(of):
        for procs in folder.rglob("cgroup.procs"):
            for text in _read(procs).split():
                _kill(int(text))
    wait_for("the end of the containers", lambda: _remove_cgroups(of), deadline=30)


def make_cgroups(of: Node) -> None:
    """The kubelet makes what is below `cgroups`, but not that. Cgroup v1 has a tree for each controller, v2 one for
    all."""
    for root in _hierarchies():
        (root / of.cgroups).mkdir(exist_ok=True)


def _hierarchies() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root]
    return [folder for folder in root.iterdir() if folder.is_dir() and not folder.is_symlink()]


def _pod_cgroups(of: Node) -> list[Path]:
    below = Path(of.cgroups or "kubepods")
    return [root / below for root in _hierarchies() if (root / below).is_dir()]


def _remove_cgroups(of: Node) -> bool:
    for folder in _pod_cgroups(of):
        for inner in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
            _remove(inner)
        _remove(folder)
    return not _pod_cgroups(of)


def _remove(folder: Path) -> None:
    # Busy for as long as a process in it is dying: the caller comes again.
    with contextlib.suppress(OSError):
        folder.rmdir()


def unmount(folder: Path) -> None:
    """Everything mounted below it, the deepest first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted((p for p in points if p.startswith(f"{folder}/")), reverse=True):
        run(["umount", "--lazy", point], check=False)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _command(pid: int) -> str:
    return _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
