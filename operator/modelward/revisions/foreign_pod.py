"""Pods of another server than ours (`spec.runtime`): the download, which lays the files out, and that server.

Nothing is compiled and nobody counts: what the container answers, the router sees. Invariant: it gets what a user's own
pod would get and no more: no credentials of the store, no token of the cluster, no key of the operator's, the guards of
the `restricted` level; and of the model's files a mount that it can only read.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from modelward.api.modeldeployment import Model, ModelDeployment, Resources
from modelward.api.names import ANNOTATION_RUNTIME
from modelward.api.runtime import OwnContainer, Runtime, is_in_image
from modelward.facts import RuntimeFacts
from modelward.kube import manifests as common
from modelward.models import consent
from modelward.platform import Platform
from modelward.revisions import cache_mounts
from modelward.revisions import init_containers as steps
from modelward.runtimes import preset as presets
from modelward.runtimes.preset import Files, Preset
from modelward.runtimes.runtime import MODELWARD
from modelward.values.stored import known_text

CONTAINERS, PORTS = MODELWARD.containers, MODELWARD.ports

OWN: Final = "container"
"""What a container of the user's own is called where a preset has its name."""

MODELS_DIR: Final = f"{steps.ARTIFACT_DIR}/models"

ALLOWED: Final = "MODEL_ALLOWED_FORMATS"
UNKNOWN: Final = "RuntimeUnknown"
CURE_OF_UNKNOWN: Final = (
    "Write one of them, or have an administrator add it to the ConfigMap modelward-runtimes (docs/runtimes.md)"
)

LAYOUT: Final = "MODEL_LAYOUT"
"""Variable of the download: JSON of where files go, and that they are for another server than ours."""


@dataclass(frozen=True)
class AboutServers:
    """What is the same whoever answers. `resources`: where spec has none; `grace`: seconds until a pod is killed;
    `drain`: that a server goes on accepting; `probes`: by the paths of readiness and of liveness."""

    resources: Resources
    grace: int
    drain: int
    probes: Callable[[str, str], dict[str, Any]]


_OURS_ALONE: Final = frozenset({"bundle", steps.tmp(CONTAINERS.compile)["name"]})
"""Volumes of steps that these pods have not."""


def preset_of(runtime: Runtime, platform: Platform, *, in_image: bool = False) -> Preset | None:
    """What runs; None where the installation has no such preset. `in_image`: there are no files."""
    if runtime.container is not None:
        return _own(runtime.container, in_image=in_image)
    found = next((each for each in platform.runtimes if each.name == runtime.name), None)
    return found if found is None else found.with_args(runtime.args)


def unknown(runtime: Runtime | None, platform: Platform) -> str | None:
    """In a sentence, that there is no such preset; None: there is, or none is asked for."""
    if runtime is None or runtime.container is not None or preset_of(runtime, platform) is not None:
        return None
    known = ", ".join(sorted(each.name for each in platform.runtimes)) or "none"
    return f"spec.runtime.name: this installation has no runtime {runtime.name!r}; it has {known}"


def facts_of(owner: ModelDeployment, preset: Preset) -> RuntimeFacts:
    """How it is spoken to, which the pod template keeps: the router needs it for as long as there are such pods."""
    name, hidden = owner.name, tuple(preset.hidden)
    return RuntimeFacts(preset.name, preset.protocol, preset.ready_for(name), preset.live_for(name), hidden)


def dump(facts: RuntimeFacts) -> str:
    """As ANNOTATION_RUNTIME of a pod template holds it."""
    said = {
        "name": facts.name, "protocol": facts.protocol, "ready": facts.ready, "live": facts.live,
        "hidden": list(facts.hidden),
    }  # fmt: skip
    return json.dumps(said, sort_keys=True)


def load(annotation: str | None) -> RuntimeFacts | None:
    """The inverse of `dump`; None where there is none, or none that can be read."""
    try:
        found = known_text(RuntimeFacts, annotation or "null")
    except ValueError:
        return None
    # It becomes a part of the router's configuration, whoever wrote it.
    asked = (found.ready, found.live)
    if not all(path.startswith("/") and path.isprintable() and " " not in path for path in asked):
        return None
    return found if all(presets.problem_of_hidden(path) is None for path in found.hidden) else None


def annotations(owner: ModelDeployment, preset: Preset, besides: tuple[str, ...]) -> dict[str, str]:
    """Of the pods. `besides`: containers that spec.template adds."""
    return {
        **steps.annotations(owner.spec, besides),
        ANNOTATION_RUNTIME: dump(facts_of(owner, preset)),
    }


def pod_spec(
    owner: ModelDeployment,
    platform: Platform,
    model: Model,
    revision: str,
    preset: Preset,
    pinned: list[dict[str, Any]],
    about: AboutServers,
) -> dict[str, Any]:
    """Everything that shapes the pod. `pinned`: the variable with the digest that the first pod got."""
    spec, brings = owner.spec, preset.files is not None and not is_in_image(model.uri)
    init, volumes = [], [steps.folder(steps.tmp(CONTAINERS.server)["name"], steps.SCRATCH)]
    if brings:
        volumes = [each for each in steps.volumes(model, platform) if each["name"] not in _OURS_ALONE] + volumes
        volumes += cache_mounts.volumes(spec, model, platform)
        init.append(_download(owner, platform, model, revision, preset, pinned, about))
    built: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {**common.POD_SECURITY_CONTEXT, **cache_mounts.security(model, platform)},
        "terminationGracePeriodSeconds": about.grace,
        **({"initContainers": init} if init else {}),
        "containers": [_server(owner, revision, preset, about, brings=brings)],
        "volumes": volumes,
    }
    if spec.service_account_name:
        built["serviceAccountName"] = spec.service_account_name
    return built


def _download(
    owner: ModelDeployment,
    platform: Platform,
    model: Model,
    revision: str,
    preset: Preset,
    pinned: list[dict[str, Any]],
    about: AboutServers,
) -> dict[str, Any]:
    spec = owner.spec
    container = common.container(platform.server_image, spec.resources, about.resources)
    built = steps.download(spec, model, platform, container, {"MODEL_NAME": owner.name}, pinned)
    assert preset.files is not None
    told = {
        LAYOUT: json.dumps(_layout(preset.files, owner.name), sort_keys=True),
        ALLOWED: ",".join(consent.files_allowed(model.digest, platform.allowed_formats)),
    }
    env = [each for each in built["env"] if each["name"] not in told]
    built = {**built, "env": [*env, *common.environment(told)]}
    return cache_mounts.added(built, owner, model, platform, revision)


def _layout(files: Files, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"folder": presets.put_in(files.folder, name)}
    if files.file is not None:
        found["file"] = presets.put_in(files.file, name)
    if files.whole is not None:
        found["whole"] = {"file": files.whole.file, "folder": presets.put_in(files.whole.folder, name)}
    return found


def _server(
    owner: ModelDeployment, revision: str, preset: Preset, about: AboutServers, *, brings: bool
) -> dict[str, Any]:
    folder = presets.put_in(preset.files.folder, owner.name) if preset.files is not None else "."
    told = {
        presets.MODEL_NAME: owner.name,
        "MODEL_REVISION": revision,
        **({
            presets.MODELS_DIR: MODELS_DIR,
            presets.MODEL_DIR: MODELS_DIR if folder == "." else f"{MODELS_DIR}/{folder}",
        } if brings else {}),
        presets.PORT: str(PORTS.http),
        presets.GRPC_PORT: str(PORTS.grpc),
        presets.METRICS_PORT: str(PORTS.monitor),
        **preset.env,
    }  # fmt: skip
    ports = [("http", PORTS.http)]
    ports += [("grpc", PORTS.grpc)] if preset.grpc else []
    # By the name by which sidecars are scraped, and let through by NetworkPolicies: there is none beside it.
    ports += [("monitor", PORTS.monitor)] if preset.metrics == "separate" else []
    guards = {
        **common.CONTAINER_SECURITY_CONTEXT,
        "readOnlyRootFilesystem": not preset.writable,
        **({"runAsUser": preset.user} if preset.user is not None else {}),
    }

    return {
        "name": CONTAINERS.server,
        "image": preset.image,
        "imagePullPolicy": "IfNotPresent",
        **({"command": list(preset.command)} if preset.command else {}),
        **({"args": list(preset.args)} if preset.args else {}),
        "env": common.expanding(told),
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports],
        "resources": common.resources(owner.spec.resources, about.resources),
        "securityContext": guards,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [*([steps.ARTIFACT] if brings else ()), steps.tmp(CONTAINERS.server)],
        # Most servers stop to accept at once, and kube-proxy goes on sending for a moment.
        "lifecycle": {"preStop": {"sleep": {"seconds": about.drain}}},
        **about.probes(preset.ready_for(owner.name), preset.live_for(owner.name)),
    }


def _own(container: OwnContainer, *, in_image: bool) -> Preset:
    return Preset(
        name=OWN, protocol=container.protocol, image=container.image, command=container.command, args=container.args,  # type: ignore[arg-type]
        env={each.name: each.value for each in container.env}, ready=container.ready_path or "",
        live=container.live_path or "", grpc=container.grpc, metrics=container.metrics,  # type: ignore[arg-type]
        files=None if in_image else Files(folder=f"$({presets.MODEL_NAME})"), user=container.run_as_user,
        writable=not container.read_only_root_filesystem,
    )  # fmt: skip
