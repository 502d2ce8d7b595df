"""The plugin as krew installs it: one file that needs nothing but Python, and a manifest that names its digest."""

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import yaml

from modelward_cli import __version__, main
from modelward_cli.page.server import ASSETS

PACKAGE = Path(__file__).parents[3] / "integrations/cli/package.py"


def made(folder: Path, url: str = "https://example.com/v1/") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-IS", str(PACKAGE), str(folder), "--url", url]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_runs_with_nothing_installed(tmp_path: Path) -> None:
    assert made(tmp_path).returncode == 0
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as files:
        assert sorted(files.getnames()) == ["LICENSE", "kubectl-modelward"]
        files.extractall(tmp_path, filter="data")
    program = tmp_path / "kubectl-modelward"
    assert program.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    assert program.stat().st_mode & 0o111 == 0o111
    run = [sys.executable, "-IS", str(program)]
    assert subprocess.run([*run, "--version"], capture_output=True, text=True, check=True).stdout == (
        f"modelward {__version__}\n"
    )
    told = subprocess.run([*run, "--help"], capture_output=True, text=True, check=True).stdout
    assert told.startswith("usage: kubectl modelward ")
    assert all(name in told for name in main.names())


def test_it_brings_what_its_page_is_made_of(tmp_path: Path) -> None:
    made(tmp_path)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as files:
        files.extractall(tmp_path, filter="data")
    with zipfile.ZipFile(tmp_path / "kubectl-modelward") as program:
        for name in ASSETS:
            assert len(program.read(f"modelward_cli/page/assets/{name}")) > 100


def test_the_manifest_names_what_was_made(tmp_path: Path) -> None:
    made(tmp_path)
    manifest = yaml.safe_load((tmp_path / "modelward.yaml").read_text())
    (path,) = tmp_path.glob("*.tar.gz")
    (platform,) = manifest["spec"]["platforms"]
    assert platform["uri"] == f"https://example.com/v1/{path.name}"
    assert platform["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert platform["bin"] == "kubectl-modelward"
    assert (manifest["metadata"]["name"], manifest["spec"]["version"]) == ("modelward", f"v{__version__}")
    assert len(manifest["spec"]["shortDescription"]) <= 50, "as krew's index wants it"


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made(tmp_path / name)
    (one,), (other,) = ((tmp_path / name).glob("*.tar.gz") for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()


def test_krew_fetches_by_https_alone(tmp_path: Path) -> None:
    ended = made(tmp_path, "http://example.com")
    assert (ended.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "begins with https://" in ended.stderr
