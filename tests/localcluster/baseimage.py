"""The base of our images where there is no Docker Hub: Debian by debootstrap, once."""

from pathlib import Path

from localcluster import settings
from localcluster.commands import locked, replacing, run
from localcluster.progress import step

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv")


def rootfs() -> Path:
    """A tar of the base's root file system."""
    target = settings.cache_dir() / "images" / f"debian-{SUITE}-1.tar"
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        return target
    with locked("base-image"):
        if target.exists():
            return target
        with (
            step(f"making the base image (Debian {SUITE})"),
            replacing(target) as tar,
            replacing(target.with_suffix(".d")) as folder,
        ):
            run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, folder])
            lists = (
                "./var/cache/apt/archives/*.deb",
                "./var/lib/apt/lists/*",
                "./usr/share/doc/*",
                "./usr/share/man/*",
            )
            run(["tar", "-C", folder, "-cf", tar, *(f"--exclude={name}" for name in lists), "."])
    return target
