"""Makes the plugin as krew installs it: one program without anything to install, in a .tar.gz, and krew's manifest.

`python integrations/cli/package.py dist --url https://…/v0.1.0` (`make plugin URL=…`); `url` is where the .tar.gz will
be found. The same source gives the same bytes, so that whoever builds it can compare the digest.
"""

import argparse
import gzip
import hashlib
import io
import json
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
LICENSE: Final = HERE.parents[1] / "LICENSE"
PLUGIN: Final = "kubectl-modelward"
EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""Of every file in the archives: zip knows none before."""

PACKED: Final = frozenset((".py", ".css", ".js", ".svg"))

START: Final = "import sys\n\nfrom modelward_cli.main import main\n\nsys.exit(main())\n"

ABOUT: Final = """\
Shows the models that Modelward serves in a cluster, the worst first: revisions, rollouts and their evidence, drift,
retraining runs. Watches and steers rollouts, tells which data and code made the model that answered a request, and
packs what somebody who helps has to see, without secrets.
"""


def program() -> bytes:
    """A zip that Python runs."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        _put(archive, "__main__.py", START)
        files = (each for each in (HERE / "modelward_cli").rglob("*") if each.suffix in PACKED)
        for path in sorted(files):
            _put(archive, path.relative_to(HERE).as_posix(), path.read_text())
    return b"#!/usr/bin/env python3\n" + packed.getvalue()


def _put(archive: zipfile.ZipFile, name: str, text: str) -> None:
    about = zipfile.ZipInfo(name, EPOCH)
    about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    archive.writestr(about, text)


def archive() -> bytes:
    """The program and its licence."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as files:
        for name, content, mode in ((PLUGIN, program(), 0o755), ("LICENSE", LICENSE.read_bytes(), 0o644)):
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(content), mode
            files.addfile(about, io.BytesIO(content))
    return packed.getvalue()


def manifest(version: str, url: str, digest: str) -> str:
    """Krew's, as YAML: https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/."""
    about = "\n".join(f"    {line}" for line in ABOUT.splitlines())
    return f"""\
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: modelward
spec:
  version: v{version}
  shortDescription: Show and steer the models that Modelward serves
  description: |
{about}
  caveats: |
    It needs Python 3.11 or newer on the PATH as python3, and nothing besides.
  platforms:
  - selector:
      matchExpressions:
      - {{key: os, operator: In, values: [darwin, linux]}}
    uri: {json.dumps(url)}
    sha256: {digest}
    bin: {PLUGIN}
    files:
    - {{from: {PLUGIN}, to: .}}
    - {{from: LICENSE, to: .}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the kubectl plugin and krew's manifest.")
    parser.add_argument("folder", type=Path, help="where to write them")
    parser.add_argument("--url", required=True, help="the address of the folder where the .tar.gz will be")
    options = parser.parse_args()
    if not options.url.startswith("https://"):
        parser.error("--url: krew fetches by https alone; write an address that begins with https://")
    version = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["version"]
    name, content = f"{PLUGIN}-{version}.tar.gz", archive()
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (options.folder / "modelward.yaml").write_text(manifest(version, f"{options.url.rstrip('/')}/{name}", digest))
    print(options.folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
