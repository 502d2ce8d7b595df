"""Writes one file that installs all of it, for who has neither Helm nor this repository: `make release`.

    make release OPERATOR=registry/operator@sha256:… INFERENCE=registry/inference@sha256:… \
        EVALUATE=registry/evaluate@sha256:… ROUTER=registry/envoy@sha256:…

It has what `make pinned` installs: namespace, CRDs, roles, admission policies and the operator, in an order that an
empty cluster takes, with each image by digest.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from manifests import pin

NAME: Final = "modelward.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="release", description="Write one file that installs all, images by digest.")
    parser.add_argument("target", type=Path, help="the folder to write it to")
    parser.add_argument("--kubectl", default="kubectl", help="the program that builds it; else that of PATH")
    pin.add_images(parser)
    options = parser.parse_args(arguments)
    references = pin.images_of(options)
    problem = pin.unpinned(references)
    if problem is None and shutil.which(options.kubectl) is None:
        problem = f"--kubectl: there is no {options.kubectl}; install kubectl, or name where it is"
    if problem is not None:
        print(problem, file=sys.stderr)
        return 1
    try:
        text = manifest(options.kubectl, references)
    except subprocess.CalledProcessError as error:
        print(f"{options.kubectl} kustomize: {error.stderr.strip()}", file=sys.stderr)
        return 1
    options.target.mkdir(parents=True, exist_ok=True)
    written = options.target / NAME
    written.write_text(text)
    print(written)
    return 0


def manifest(kubectl: str, references: Mapping[str, str]) -> str:
    """All objects as YAML, below a head that says what it is; `references`: the images by role.

    Raises CalledProcessError where kubectl does not build it.
    """
    with tempfile.TemporaryDirectory() as folder:
        # Without links: kustomize takes the way up to manifests/base from where the folder really is.
        overlay = Path(folder).resolve()
        pin.write(overlay, references)
        built = subprocess.run([kubectl, "kustomize", str(overlay)], text=True, capture_output=True, check=True).stdout
    images = "".join(f"#   {role}: {reference}\n" for role, reference in references.items())
    return f"# Modelward {version()}: kubectl apply --server-side -f {NAME}\n{images}---\n{built}"


def version() -> str:
    """The operator's."""
    project = tomllib.loads((pin.ROOT / "operator/pyproject.toml").read_text())["project"]
    return str(project["version"])


if __name__ == "__main__":
    sys.exit(main())
