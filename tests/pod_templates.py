"""Templates of pods that CRD and operator refuse, each with a part of the sentence of both, and some that they take."""

from typing import Any, Final

Json = dict[str, Any]

CLAIM: Final = "shared"
SIDECAR: Final[Json] = {"name": "proxy", "image": "proxy:1"}
SECRET: Final[Json] = {"name": "keys", "secret": {"secretName": "mine"}}


def pod(**spec: Any) -> Json:
    """`spec` of a ModelDeployment with this template."""
    return {"template": {"spec": spec}}


def labelled(**metadata: Json) -> Json:
    return {"template": {"metadata": metadata}}


def server(**fields: Any) -> Json:
    return pod(containers=[{"name": "server", **fields}], volumes=[{"name": "data", "emptyDir": {}}])


def sidecar(**fields: Any) -> Json:
    return pod(containers=[{**SIDECAR, **fields}], volumes=[{"name": "data", "emptyDir": {}}])


def mounted(path: str, **fields: Any) -> list[Json]:
    return [{"name": "data", "mountPath": path, **fields}]


def secured(**context: Any) -> Json:
    return sidecar(securityContext=context)


def router(**spec: Any) -> Json:
    return {"router": {"template": {"spec": spec}}}


BAD: Final[dict[str, tuple[Json, str]]] = {
    # what: (a part of spec, what both sentences have)
    "a label of ours": (labelled(labels={"modelward.io/revision": "x"}), "metadata.labels"),
    "a label of ours, below our domain": (labelled(labels={"a.modelward.io/b": "x"}), "metadata.labels"),
    "the label by which Services know pods": (labelled(labels={"app.kubernetes.io/instance": "x"}), "metadata.labels"),
    "the label by which ReplicaSets know pods": (labelled(labels={"pod-template-hash": "x"}), "metadata.labels"),
    "a label that brings a token": (labelled(labels={"azure.workload.identity/use": "true"}), "metadata.labels"),
    "an annotation of ours": (labelled(annotations={"modelward.io/restart": "x"}), "metadata.annotations"),
    "the annotation that keeps AWS's token from others": (
        labelled(annotations={"eks.amazonaws.com/skip-containers": ""}), "metadata.annotations",
    ),
    "no AppArmor by annotation": (
        labelled(annotations={"container.apparmor.security.beta.kubernetes.io/server": "unconfined"}),
        "metadata.annotations",
    ),
    "no seccomp by annotation": (
        labelled(annotations={"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}), "metadata.annotations",
    ),
    "the node's network": (pod(hostNetwork=True), "into its node"),
    "the node's processes": (pod(hostPID=True), "into its node"),
    "the node's queues": (pod(hostIPC=True), "into its node"),
    "one view of processes": (pod(shareProcessNamespace=True), "a container reads what another one keeps"),
    "a token": (pod(automountServiceAccountToken=True), "no token of the cluster"),
    "an account": (pod(serviceAccountName="admin"), "write it into spec.serviceAccountName"),
    "a node": (pod(nodeName="node-1"), "passes the scheduler by"),
    "ephemeral containers": (pod(ephemeralContainers=[SIDECAR]), "kubectl debug"),
    "little grace": (pod(terminationGracePeriodSeconds=5), "terminationGracePeriodSeconds"),
    "a pull secret of ours": (pod(imagePullSecrets=[{"name": "modelward-operator-keys"}]), "operator's own"),
    "root": (pod(securityContext={"runAsUser": 0}), "root (0)"),
    "root's group": (pod(securityContext={"runAsGroup": 0}), "root (0)"),
    "root's group among others": (pod(securityContext={"supplementalGroups": [7, 0]}), "root (0)"),
    "the user of what loads the model": (pod(securityContext={"runAsUser": 65533}), "65533"),
    "maybe root": (pod(securityContext={"runAsNonRoot": False}), "may be root"),
    "no seccomp": (pod(securityContext={"seccompProfile": {"type": "Unconfined"}}), "everything of the kernel"),
    "no AppArmor": (pod(securityContext={"appArmorProfile": {"type": "Unconfined"}}), "everything of the kernel"),
    "a group for a cache": (
        {**pod(securityContext={"fsGroup": 7}), "model": {"uri": "s3://models/a.onnx", "cache": {"claim": CLAIM}}},
        "pods that write to a claim",
    ),
    "the node's files": (pod(volumes=[{"name": "h", "hostPath": {"path": "/"}}]), "reach beyond the pod"),
    "another kind of volume": (
        pod(volumes=[{"name": "h", "nfs": {"server": "s", "path": "/"}}]), "reach beyond the pod",
    ),
    "two kinds of volume": (
        pod(volumes=[{"name": "h", "emptyDir": {}, "secret": {"secretName": "s"}}]), "reach beyond the pod",
    ),
    "a projected token": (
        pod(volumes=[{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
        "token of the cluster",
    ),
    "a projected token beside a Secret": (
        pod(volumes=[{
            "name": "t", "projected": {"sources": [{"secret": {"name": "s"}, "serviceAccountToken": {"path": "t"}}]},
        }]),
        "token of the cluster",
    ),
    "the pod's key": (pod(volumes=[{"name": "identity", "emptyDir": {}}]), "operator's own volume has this name"),
    "a scratch of ours": (pod(volumes=[{"name": "tmp-server", "emptyDir": {}}]), "operator's own volume has this name"),
    "the router's certificate": (
        pod(volumes=[{"name": "certificate", "emptyDir": {}}]), "operator's own volume has this name",
    ),
    "the cache's key": (
        pod(volumes=[{"name": "k", "secret": {"secretName": "modelward-cache-key"}}]), "operator's own",
    ),
    "the cache's key, projected": (
        pod(volumes=[{"name": "k", "projected": {"sources": [{"secret": {"name": "modelward-cache-key"}}]}}]),
        "operator's own",
    ),
    "the cache's key as a variable": (
        sidecar(env=[{"name": "K", "valueFrom": {"secretKeyRef": {"name": "modelward-cache-key", "key": "key"}}}]),
        "operator's own",
    ),
    "the cache's key among variables": (
        sidecar(envFrom=[{"secretRef": {"name": "modelward-cache-key"}}]), "operator's own",
    ),
    "the cache": (
        {
            **pod(volumes=[{"name": "c", "persistentVolumeClaim": {"claimName": CLAIM}}]),
            "model": {"uri": "s3://models/a.onnx", "cache": {"claim": CLAIM}},
        },
        "write to this claim",
    ),
    "a variant's cache": (
        {
            **pod(volumes=[{"name": "c", "persistentVolumeClaim": {"claimName": CLAIM}}]),
            "variants": [{"name": "b", "weight": 1, "model": {"uri": "s3://models/a.onnx", "cache": {"claim": CLAIM}}}],
        },
        "write to this claim",
    ),
    "the prediction log": (
        {
            **pod(volumes=[{"name": "c", "persistentVolumeClaim": {"claimName": CLAIM}}]),
            "monitor": {}, "predictionLog": {"uri": f"pvc://{CLAIM}/log"},
        },
        "write to this claim",
    ),
    "a mount of our volume": (
        pod(containers=[{**SIDECAR, "volumeMounts": [{"name": "identity", "mountPath": "/k"}]}]),
        "spec.template.spec.volumes has",
    ),
    "a first container's mount of our volume": (
        pod(initContainers=[{**SIDECAR, "volumeMounts": [{"name": "bundle", "mountPath": "/k"}]}]),
        "spec.template.spec.volumes has",
    ),
    "a mount over the bundle": (server(volumeMounts=mounted("/bundle")), "operator's own folders"),
    "a mount below the bundle": (server(volumeMounts=mounted("/bundle/model")), "operator's own folders"),
    "a mount above the certificates": (server(volumeMounts=mounted("/etc")), "operator's own folders"),
    "a mount over the program": (
        server(volumeMounts=mounted("/opt/modelward/modelward_auth")), "operator's own folders",
    ),
    "a mount of root": (server(volumeMounts=mounted("/")), "write an absolute path"),
    "a mount by dots": (server(volumeMounts=mounted("/data/../bundle")), "write an absolute path"),
    "a mount with two slashes": (server(volumeMounts=mounted("//bundle")), "write an absolute path"),
    "a part of a volume": (sidecar(volumeMounts=mounted("/d", subPath="../x")), "can lead out of a volume"),
    "a part of a volume by a variable": (
        sidecar(volumeMounts=mounted("/d", subPathExpr="$(X)")), "can lead out of a volume",
    ),
    "mounts of the node": (sidecar(volumeMounts=mounted("/d", mountPropagation="Bidirectional")), "mounts of the node"),
    "the server's command": (server(command=["sh"]), "containers[server]"),
    "the server's arguments": (server(args=["sh"]), "containers[server]"),
    "the server's guards": (server(securityContext={"readOnlyRootFilesystem": False}), "containers[server]"),
    "the server's readiness": (server(readinessProbe={"exec": {"command": ["true"]}}), "containers[server]"),
    "the server's end": (server(lifecycle={"preStop": {"exec": {"command": ["sh"]}}}), "containers[server]"),
    "all variables of a Secret for the server": (server(envFrom=[{"secretRef": {"name": "s"}}]), "containers[server]"),
    "another question at the server's start": (
        server(startupProbe={"exec": {"command": ["true"]}}), "containers[server].startupProbe",
    ),
    "resources of the server": (server(resources={"limits": {"cpu": "1"}}), "containers[server].resources"),
    "a server that tells everybody": (
        server(env=[{"name": "OPERATOR_UNAUTHENTICATED", "value": "true"}]), "containers[server].env",
    ),
    "formats of the server": (
        server(env=[{"name": "MODEL_ALLOWED_FORMATS", "value": "sklearn"}]), "containers[server].env",
    ),
    "the server's libraries": (server(env=[{"name": "LD_PRELOAD", "value": "/data/x.so"}]), "containers[server].env"),
    "the server's modules": (server(env=[{"name": "PYTHONPATH", "value": "/data"}]), "containers[server].env"),
    "a port of the server": (sidecar(ports=[{"containerPort": 8080}]), "operator's own containers"),
    "the name of a port of the server": (
        sidecar(ports=[{"containerPort": 7000, "name": "http"}]), "operator's own containers",
    ),
    "a start that is asked for twice": (
        server(startupProbe={"successThreshold": 2}), "containers[server].startupProbe",
    ),
    "a port of the node": (
        sidecar(ports=[{"containerPort": 1234, "hostPort": 22}]), "hostPort takes a port of the node",
    ),
    "another host by a probe": (
        sidecar(livenessProbe={"httpGet": {"port": 80, "host": "169.254.169.254"}}), "would ask another host",
    ),
    "another host by a hook": (
        sidecar(lifecycle={"postStart": {"httpGet": {"port": 80, "host": "10.0.0.1"}}}), "would ask another host",
    ),
    "a privileged sidecar": (secured(privileged=True), "privileged"),
    "a sidecar that may become root": (secured(allowPrivilegeEscalation=True), "privileged"),
    "a sidecar that is root": (secured(runAsUser=0), "root (0)"),
    "a sidecar that is what loads the model": (secured(runAsUser=65533), "65533"),
    "capabilities": (secured(capabilities={"add": ["SYS_PTRACE"]}), "NET_BIND_SERVICE"),
    "an unmasked kernel": (secured(procMount="Unmasked"), "more of the kernel"),
    "a sidecar without seccomp": (secured(seccompProfile={"type": "Unconfined"}), "everything of the kernel"),
    "a sidecar without an image": (pod(containers=[{"name": "proxy"}]), "image"),
    "a sidecar named as the monitor": (pod(containers=[{"name": "monitor", "image": "i:1"}]), "operator's own"),
    "a sidecar named as the download": (pod(containers=[{"name": "download", "image": "i:1"}]), "operator's own"),
    "a first container named as the server": (
        pod(initContainers=[{"name": "server", "image": "i:1"}]), "operator's own",
    ),
    "one name twice": (pod(containers=[SIDECAR], initContainers=[SIDECAR]), "a container"),
    "an image of the download": (pod(initContainers=[{"name": "download", "image": "i:1"}]), "initContainers"),
    "variables of the download": (
        pod(initContainers=[{"name": "download", "env": [{"name": "A", "value": "b"}]}]), "initContainers",
    ),
    "a GPU for the download": (
        pod(initContainers=[{"name": "download", "resources": {"limits": {"nvidia.com/gpu": 1}}}]), "no devices",
    ),
    "a first container that never ends": (
        pod(initContainers=[{**SIDECAR, "restartPolicy": "OnFailure"}]), "Always",
    ),
    "beside Envoy": (router(containers=[SIDECAR]), "nothing runs beside Envoy"),
    "before Envoy": (router(initContainers=[SIDECAR]), "nothing runs beside Envoy"),
    "volumes of Envoy": (router(volumes=[SECRET]), "nothing runs beside Envoy"),
    "added to the router": (router(ephemeralContainers=[SIDECAR]), "router.template.spec"),
    "the router's node": (router(hostNetwork=True), "into its node"),
    "the router's label": (
        {"router": {"template": {"metadata": {"labels": {"app.kubernetes.io/component": "server"}}}}},
        "template.metadata.labels",
    ),
}  # fmt: skip

PLACED: Final[Json] = {
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gpu"]}]}],
    }}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"},
    ],
    "priorityClassName": "serving", "runtimeClassName": "nvidia", "schedulerName": "default-scheduler",
    "imagePullSecrets": [{"name": "mirror"}], "terminationGracePeriodSeconds": 120,
    "securityContext": {"runAsUser": 1000, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
}  # fmt: skip

METADATA: Final[Json] = {"labels": {"team": "risk"}, "annotations": {"sidecar.istio.io/inject": "true"}}

RUNNING: Final[Json] = {
    "containers": [
        {
            "name": "server", "image": "team/fraud-server:3", "imagePullPolicy": "Always",
            "env": [{"name": "OMP_NUM_THREADS", "value": "2"}, {"name": "TZ", "value": "UTC"}],
            "volumeMounts": [
                {"name": "data", "mountPath": "/data", "readOnly": True}, {"name": "data", "mountPath": "/more"},
            ],
            "startupProbe": {"failureThreshold": 1800},
        },
        {
            "name": "proxy", "image": "proxy:1", "args": ["--port=7000"],
            "ports": [{"containerPort": 7000, "name": "audit"}],
            "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "mine", "key": "token"}}}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 7000}, "periodSeconds": 5},
            "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
            "resources": {"limits": {"memory": "64Mi"}}, "volumeMounts": [{"name": "keys", "mountPath": "/keys"}],
            "securityContext": {"readOnlyRootFilesystem": False, "capabilities": {"add": ["NET_BIND_SERVICE"]}},
        },
    ],
    "initContainers": [
        {"name": "agent", "image": "agent:1", "restartPolicy": "Always", "command": ["agent"]},
        {"name": "compile", "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "16Gi"}}},
    ],
    "volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}, SECRET,
        {"name": "both", "projected": {"sources": [
            {"secret": {"name": "mine"}}, {"configMap": {"name": "c"}},
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        ]}},
    ],
}  # fmt: skip

WHOLE: Final[Json] = {"metadata": METADATA, "spec": {**PLACED, **RUNNING}}

GOOD: Final[dict[str, Json]] = {
    "everything": {"template": WHOLE, "router": {"template": {"metadata": METADATA, "spec": PLACED}}},
    "a group of the router's beside a cache": {
        "model": {"uri": "s3://models/a.onnx", "cache": {"claim": CLAIM}},
        **router(securityContext={"fsGroup": 7}),
    },
    "nothing": {"template": {}, "router": {"template": {}}},
    "guards that there are": pod(hostNetwork=False, securityContext={"runAsNonRoot": True}),
    "a sidecar's guards that there are": secured(privileged=False, allowPrivilegeEscalation=False, procMount="Default"),
    "a folder beside ours": server(volumeMounts=mounted("/bundles")),
}
