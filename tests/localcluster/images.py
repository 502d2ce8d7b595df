"""Container images named by content: the same files have the same tag, and are neither built nor loaded twice.

What was built is kept as an archive, too: a new cluster only has to take it in.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localcluster import baseimage, binaries, kind, node, settings
from localcluster.clients import ctr, node_images
from localcluster.commands import locked, replacing, run
from localcluster.digest import digest_of
from localcluster.progress import say, step

DOCKER_BASE = "python:3.12-slim"
LOCAL_BASE = "localhost/modelward-base:1"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Image:
    """One image: its Dockerfile and what goes into it, relative to the repository.

    `program`: its main content is a binary of ours, by name; the build's context then holds that and input files alone.
    """

    role: str
    dockerfile: str
    inputs: tuple[str, ...]
    arguments: dict[str, str] = field(default_factory=dict)
    program: tuple[str, Callable[[], Path]] | None = None

    def reference(self) -> str:
        paths = [settings.REPOSITORY / name for name in (self.dockerfile, *self.inputs)]
        extra = [f"{name}={value}" for name, value in self.arguments.items()]
        return f"docker.io/modelward/{self.role}:dev-{digest_of(paths, extra)}"

    def context(self) -> Path:
        """The folder that is built from."""
        if self.program is None:
            return settings.REPOSITORY
        folder = settings.cache_dir() / "images" / self.role
        folder.mkdir(parents=True, exist_ok=True)
        name, binary = self.program
        shutil.copy2(binary(), folder / name)
        for file in (settings.REPOSITORY / each for each in self.inputs):
            if file.is_file():
                shutil.copy2(file, folder)
        return folder


IMAGES = {
    image.role: image
    for image in (
        Image(
            "operator",
            "operator/Dockerfile",
            (
                "operator/requirements.lock",
                "operator/modelward",
                "inference_image/modelward_auth",
                "inference_image/modelward_telemetry",
                "inference_image/modelward_drift",
            ),
        ),
        Image(
            "inference",
            "inference_image/Dockerfile",
            (
                "inference_image/requirements.lock",
                "inference_image/modelward_auth",
                "inference_image/modelward_telemetry",
                "inference_image/modelward_inference",
                "inference_image/modelward_drift",
                "inference_image/modelward_monitor",
                "inference_image/modelward_batch",
                "inference_image/modelward_training",
            ),
        ),
        Image(
            "evaluate",
            "inference_image/evaluate.Dockerfile",
            (
                "inference_image/evaluate.lock",
                "inference_image/modelward_evaluate",
                "inference_image/modelward_monitor",
                "inference_image/modelward_quality",
                "inference_image/modelward_telemetry",
            ),
        ),
        Image(
            "router", "tests/localcluster/images/router.Dockerfile", ("tests/localcluster/images/router.requirements",)
        ),
        Image(
            "s3",
            "tests/localcluster/images/s3.Dockerfile",
            ("tests/localcluster/s3gateway",),
            program=("versitygw", binaries.s3_gateway),
        ),
        Image(
            "mlflow",
            "tests/localcluster/images/mlflow.Dockerfile",
            (
                "tests/mlflowserver/requirements.lock",
                "tests/localcluster/images/mlflow.requirements",
                "inference_image/modelward_drift",
                "inference_image/modelward_inference",
                "inference_image/modelward_training",
            ),
        ),
        Image("triton", "tests/localcluster/images/triton.Dockerfile", ("tests/tritonserver/requirements.lock",)),
        Image("mlserver", "tests/localcluster/images/mlserver.Dockerfile", ("tests/seldonserver/requirements.lock",)),
        Image("observe", "tests/localcluster/images/observe.Dockerfile", ()),
        Image(
            "gateway",
            "tests/localcluster/images/gateway.Dockerfile",
            ("tests/localcluster/envoygateway", "tests/localcluster/images/gateway.requirements"),
            arguments={"ENVOY_VERSION": settings.ENVOY_VERSION},
            program=("envoy-gateway", binaries.envoy_gateway),
        ),
    )
}


def ensure(roles: list[str]) -> dict[str, str]:
    """Build and load what the cluster lacks. Returns image references by role."""
    references = {}
    with locked("images"):
        for role in roles:
            image = IMAGES[role]
            references[role] = image.reference()
            if references[role] in _present():
                continue
            if not kind.is_chosen() and _archive(references[role]).exists():
                with step(f"loading the image {references[role]}"):
                    _load(_archive(references[role]))
                continue
            with step(f"building the image {references[role]}"):
                _build(image, references[role])
    return references


def bring(roles: Sequence[str], of: node.Node) -> None:
    """Load images into a node beside the first, which has them."""
    references = ensure(list(roles))
    for reference in set(references.values()) - node_images(of):
        archive = _archive(reference)
        if not archive.exists():  # another checkout's image is kept in its place
            with replacing(archive) as temporary:
                ctr("images", "export", temporary, reference)
        _load(archive, of)


def _present() -> set[str]:
    return kind.node_images() if kind.is_chosen() else node_images()


def _build(image: Image, reference: str) -> None:
    context = image.context()
    dockerfile = settings.REPOSITORY / image.dockerfile
    arguments = [f"--build-arg={name}={value}" for name, value in image.arguments.items()]
    if kind.is_chosen():
        run(["docker", "build", *arguments, "--file", dockerfile, "--tag", reference, context])
        kind.load(reference)
        return
    if "BASE_IMAGE" in dockerfile.read_text():
        _ensure_base()
        arguments.append(f"--build-arg=BASE_IMAGE={LOCAL_BASE}")
    mounts = [f"--volume={CA_BUNDLE}:{CA_BUNDLE}:ro"] if CA_BUNDLE.exists() else []
    pip_cache = settings.cache_dir() / "pip"
    pip_cache.mkdir(exist_ok=True)
    mounts.append(f"--volume={pip_cache}:/root/.cache/pip")
    _buildah(
        "build", "--isolation=chroot", "--layers", "--pull=never", "--format=oci", *arguments, *mounts,
        f"--file={dockerfile}", f"--tag={reference}", str(context),
    )  # fmt: skip
    _keep(reference, _archive(reference))
    _load(_archive(reference))
    _prune(image.role, keep=reference)


def _buildah(*arguments: str, check: bool = True) -> str:
    """buildah with storage of our own."""
    store = settings.cache_dir() / "buildah"
    # overlay shares what layers have in common; vfs copies it, but works everywhere.
    driver = "overlay" if "overlay" in Path("/proc/filesystems").read_text() else "vfs"
    options = ["--root", str(store / "root"), "--runroot", str(store / "run"), "--storage-driver", driver]
    return run(["buildah", *options, *arguments], env={"BUILDAH_HISTORY": "false"}, check=check)


def _ensure_base() -> None:
    if _buildah("images", "--quiet", "--filter", f"reference={LOCAL_BASE}", check=False).strip():
        return
    tar = baseimage.rootfs()
    with step("loading the base image"), tempfile.TemporaryDirectory(dir=settings.cache_dir()) as folder:
        os.link(tar, Path(folder) / "rootfs.tar")
        (Path(folder) / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar /\n")
        _buildah("build", "--isolation=chroot", f"--tag={LOCAL_BASE}", folder)


def _archive(reference: str) -> Path:
    """Where the image is kept, or would be."""
    role, _, tag = reference.rpartition("/")[2].partition(":")
    return settings.cache_dir() / "images" / f"{role}_{tag}.tar"


def _keep(reference: str, archive: Path) -> None:
    """In Docker's form, whose layers are not compressed: to press and unpress them takes longer than to read them."""
    archive.parent.mkdir(exist_ok=True)
    with replacing(archive) as temporary:
        _buildah("push", reference, f"docker-archive:{temporary}:{reference}")
    for old in archive.parent.glob(f"{archive.name.partition('_')[0]}_*.tar"):
        if old != archive:
            old.unlink()


def _load(archive: Path, of: node.Node | None = None) -> None:
    """Into a node, the first one."""
    ctr("images", "import", archive, of=of)


def _prune(role: str, keep: str) -> None:
    """What is superseded must go, or the disk fills."""
    listed = json.loads(_buildah("images", "--json", check=False) or "[]")
    for names in (entry.get("names") or [] for entry in listed):
        for name in names:
            if f"/modelward/{role}:" in name and name != keep:
                say(f"removing the superseded image {name}")
                # Not its layers: the next build of this role begins with them.
                _buildah("rmi", "--force", name, check=False)


def import_scratch(reference: str, binary: Path, path: str, of: node.Node | None = None) -> None:
    """Load an image that is one static binary into a node, the first one."""
    name = reference.rpartition("/")[2].partition(":")[0]
    archive = settings.cache_dir() / "images" / f"{name}_{digest_of([binary], [reference, path])}.tar"
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=settings.cache_dir()) as folder:
            shutil.copy2(binary, Path(folder) / "binary")
            dockerfile = f'FROM scratch\nCOPY binary {path}\nENTRYPOINT ["{path}"]\n'
            (Path(folder) / "Dockerfile").write_text(dockerfile)
            _buildah("build", "--isolation=chroot", "--format=oci", f"--tag={reference}", folder)
            _keep(reference, archive)
            _buildah("rmi", reference)
    _load(archive, of)
