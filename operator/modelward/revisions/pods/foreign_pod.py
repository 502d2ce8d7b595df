"""Pods of another server than ours (`spec.runtime`): the download, which lays the files out, and that server.

Nothing is compiled, and nobody counts but where a tap stands before it (tap.py): what the container answers, the router
sees. Invariant: it gets what a user's own
pod would get and no more: no credentials of the store, no token of the cluster, no key of the operator's, the guards of
the `restricted` level; and of the model's files a mount that it can only read.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from modelward.api.modeldeployment import Model, ModelDeployment, Resources
from modelward.api.names import ANNOTATION_RUNTIME
from modelward.api.runtime import TAPPED, OwnContainer, Runtime, is_in_image
from modelward.facts import RuntimeFacts
from modelward.kube import manifests as common
from modelward.models import consent
from modelward.platform import Platform
from modelward.revisions.pods import cache_mounts, identity, prediction_log, tap
from modelward.revisions.pods import init_containers as steps
from modelward.runtimes import preset as presets
from modelward.runtimes.preset import Files, Preset
from modelward.runtimes.runtime import MODELWARD
from modelward.values.stored import known_text

CONTAINERS, PORTS = MODELWARD.containers, MODELWARD.ports

OWN: Final = "container"
"""What a container of the user's own is called where a preset has its name."""

MODELS_DIR: Final = f"{steps.ARTIFACT_DIR}/models"

ALLOWED: Final = "MODEL_ALLOWED_FORMATS"


@dataclass(frozen=True)
class Unknown:
    """Why no pods can be made: `reason` of Stalled, and a sentence each on what is wrong and what to do."""

    reason: str
    message: str
    cure: str


UNKNOWN: Final = "RuntimeUnknown"
CURE_OF_UNKNOWN: Final = (
    "Write one of them, or have an administrator add it to the ConfigMap modelward-runtimes (docs/runtimes.md)"
)

NOT_TAPPED: Final = "RuntimeNotTapped"
CURE_OF_NOT_TAPPED: Final = (
    "Leave out spec.runtime.tap, with spec.monitor and gates.disagreement, or name a runtime of such a protocol"
)

CURE_OF_NO_FILES: Final = (
    "Leave out spec.runtime.tap, with spec.monitor and gates.disagreement, or name a runtime that takes files"
)

LAYOUT: Final = "MODEL_LAYOUT"
"""Variable of the download: JSON of where files go, and that they are for another server than ours."""


@dataclass(frozen=True)
class AboutServers:
    """What is the same whoever answers. `resources`: where spec has none; `grace`: seconds until a pod is killed;
    `drain`: that a server goes on accepting; `probes`: by the paths of readiness and of liveness, and the port."""

    resources: Resources
    grace: int
    drain: int
    probes: Callable[[str, str, str | int], dict[str, Any]]


_OURS_ALONE: Final = frozenset({"bundle", steps.tmp(CONTAINERS.compile)["name"]})
"""Volumes of steps that these pods have not."""


def preset_of(runtime: Runtime, platform: Platform, *, in_image: bool = False) -> Preset | None:
    """What runs; None where the installation has no such preset. `in_image`: there are no files."""
    if runtime.container is not None:
        return _own(runtime.container, in_image=in_image)
    found = next((each for each in platform.runtimes if each.name == runtime.name), None)
    return found if found is None else found.with_args(runtime.args)


def unknown(runtime: Runtime | None, platform: Platform) -> Unknown | None:
    """That there is no such preset, or none that a tap can stand before; None: there is, or none is asked for."""
    if runtime is None:
        return None
    preset = preset_of(runtime, platform)
    if preset is None:
        known = ", ".join(sorted(each.name for each in platform.runtimes)) or "none"
        said = f"spec.runtime.name: this installation has no runtime {runtime.name!r}; it has {known}"
        return Unknown(UNKNOWN, said, CURE_OF_UNKNOWN)
    if runtime.tap is not None and preset.protocol not in TAPPED:
        said = f"spec.runtime.tap: the runtime {preset.name} is of the protocol {preset.protocol}, and a tap reads "
        return Unknown(NOT_TAPPED, said + " and ".join(TAPPED), CURE_OF_NOT_TAPPED)
    if runtime.tap is not None and preset.files is None:
        said = f"spec.runtime.tap: the runtime {preset.name} takes no files: nothing is downloaded, which is what "
        return Unknown(NOT_TAPPED, said + "makes the key that the pod is known by", CURE_OF_NO_FILES)
    return None


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
    assert owner.spec.runtime is not None
    tapped = owner.spec.runtime.tap is not None
    return {
        **steps.annotations(owner.spec, (*([CONTAINERS.tap] if tapped else ()), *besides)),
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
    assert spec.runtime is not None
    tapped = spec.runtime.tap
    init, volumes = [], [steps.folder(steps.tmp(CONTAINERS.server)["name"], steps.SCRATCH)]
    if brings:
        volumes = [each for each in steps.volumes(model, platform) if each["name"] not in _OURS_ALONE] + volumes
        volumes += cache_mounts.volumes(spec, model, platform)
        download = _download(owner, platform, model, revision, preset, pinned, about)
        # The key that the operator knows a pod by, which only what is ours in it has.
        init.append(download if tapped is None else identity.made(download))
    if tapped is not None:
        volumes += tap.volumes(owner)
        ready = preset.ready_for(owner.name)
        init += tap.sidecars(owner, platform, revision, tapped, ready, about.drain, grpc=_reads_grpc(preset))
    built: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            **common.POD_SECURITY_CONTEXT,
            **(prediction_log.security_context(owner) if tapped is not None else {}),
            **cache_mounts.security(model, platform),
        },
        "terminationGracePeriodSeconds": about.grace,
        **({"initContainers": init} if init else {}),
        "containers": [_server(owner, revision, preset, about, brings=brings, tapped=tapped is not None)],
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
    owner: ModelDeployment, revision: str, preset: Preset, about: AboutServers, *, brings: bool, tapped: bool
) -> dict[str, Any]:
    port, metrics = (PORTS.behind, PORTS.metrics) if tapped else (PORTS.http, PORTS.monitor)
    folder = presets.put_in(preset.files.folder, owner.name) if preset.files is not None else "."
    told = {
        presets.MODEL_NAME: owner.name,
        "MODEL_REVISION": revision,
        **({
            presets.MODELS_DIR: MODELS_DIR,
            presets.MODEL_DIR: MODELS_DIR if folder == "." else f"{MODELS_DIR}/{folder}",
        } if brings else {}),
        presets.PORT: str(port),
        presets.GRPC_PORT: str(PORTS.behind_grpc if tapped and _reads_grpc(preset) else PORTS.grpc),
        presets.METRICS_PORT: str(metrics),
        **preset.env,
    }  # fmt: skip
    # The tap's, too, stands here: not every cluster looks for a Service's port among those of sidecars.
    ports = [("http", PORTS.http), *([("behind-tap", port)] if tapped else ())]
    ports += [("grpc", PORTS.grpc)] if preset.grpc else []
    ports += [("behind-tap-grpc", PORTS.behind_grpc)] if tapped and _reads_grpc(preset) else []
    # By the name by which sidecars are scraped, and let through by NetworkPolicies: there is none beside it.
    ports += [("runtime-metrics" if tapped else "monitor", metrics)] if preset.metrics == "separate" else []
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
        # Of the server itself: a tap that is down is to end no server.
        **about.probes(preset.ready_for(owner.name), preset.live_for(owner.name), port if tapped else "http"),
    }


def _reads_grpc(preset: Preset) -> bool:
    """Whether a tap reads what goes over gRPC: of V1 there is none, and another one goes past it."""
    return preset.grpc and preset.protocol == "v2"


def _own(container: OwnContainer, *, in_image: bool) -> Preset:
    return Preset(
        name=OWN, protocol=container.protocol, image=container.image, command=container.command, args=container.args,  # type: ignore[arg-type]
        env={each.name: each.value for each in container.env}, ready=container.ready_path or "",
        live=container.live_path or "", grpc=container.grpc, metrics=container.metrics,  # type: ignore[arg-type]
        files=None if in_image else Files(folder=f"$({presets.MODEL_NAME})"), user=container.run_as_user,
        writable=not container.read_only_root_filesystem,
    )  # fmt: skip
