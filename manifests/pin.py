"""Writes a kustomization that installs the operator with images that are pinned by digest: `make pinned`.

    make pinned OPERATOR=registry/operator@sha256:… INFERENCE=registry/inference@sha256:… \
        EVALUATE=registry/evaluate@sha256:… ROUTER=registry/envoy@sha256:…

A tag names what somebody pushes next, a digest these bytes alone; the operator passes the references on as they stand.
`installation` is also what the local cluster is installed with, by tags that name content.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

ROLES: Final = ("operator", "inference", "router", "evaluate")

_REFERENCE: Final = re.compile(
    r"(?P<name>[^@\s]+?)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="pin", description="Write a kustomization with images by digest.")
    parser.add_argument("target", type=Path, help="the folder to write it to")
    add_images(parser)
    options = parser.parse_args(arguments)
    references = images_of(options)
    if problem := unpinned(references):
        print(problem, file=sys.stderr)
        return 1
    print(write(options.target, references))
    return 0


def add_images(parser: argparse.ArgumentParser) -> None:
    """An option for each image."""
    for role in ROLES:
        parser.add_argument(f"--{role}", required=True, help="the image, as name@sha256:<64 hex digits>")


def images_of(options: argparse.Namespace) -> dict[str, str]:
    """What the options of `add_images` say, by role."""
    return {role: getattr(options, role) for role in ROLES}


def unpinned(references: Mapping[str, str]) -> str | None:
    """What is wrong with the first reference that names no digest, and what to write; None where all do."""
    for role, reference in references.items():
        found = _REFERENCE.fullmatch(reference)
        if found is None or found["digest"] is None:
            return (
                f"--{role}: {reference!r} names no digest; write name@sha256:<64 hex digits>, which pushing the image "
                "prints, and `docker buildx imagetools inspect` or `skopeo inspect`"
            )
    return None


def write(folder: Path, references: Mapping[str, str]) -> Path:
    """The kustomization of `references` in `folder`, which is made where it is not there; gives the file."""
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "kustomization.yaml"
    written.write_text(installation(folder, references))
    return written


def installation(target: Path, references: Mapping[str, str]) -> str:
    """A kustomization in the folder `target`: the base with the images of `references`, by role.

    Raises ValueError where the operator's is no reference.
    """
    found = _REFERENCE.fullmatch(references["operator"])
    if found is None:
        raise ValueError(f"{references['operator']!r} is no image; write name:tag or name@sha256:<64 hex digits>")
    # With a digest, kustomize leaves a tag out, which says nothing then.
    version = f"digest: {found['digest']}" if found["digest"] else f'newTag: "{found["tag"] or "latest"}"'
    base = os.path.relpath(ROOT / "manifests" / "base", target)
    return f"""apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: modelward-system
resources:
- {base}
images:
- name: docker.io/modelward/operator
  newName: {found["name"]}
  {version}
configMapGenerator:
- name: modelward-settings
  behavior: merge
  literals:
  - MODELWARD_SERVER_IMAGE={references["inference"]}
  - MODELWARD_ROUTER_IMAGE={references["router"]}
  - MODELWARD_EVALUATE_IMAGE={references["evaluate"]}
"""


if __name__ == "__main__":
    sys.exit(main())
