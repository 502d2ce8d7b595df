"""Names that users, manifests and code agree on: the API group, labels and annotations."""

from typing import Final

GROUP: Final = "modelward.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FIELD_MANAGER: Final = "modelward"
"""The one field manager of everything that the operator applies."""

# Recommended labels: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_PART_OF: Final = "app.kubernetes.io/part-of"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_REVISION: Final = f"{GROUP}/revision"

LABEL_POLICY: Final = f"{GROUP}/policy"
"""On what belongs to a DriftPolicy (runs, their Jobs and pods, memories): the policy's name."""

LABEL_TARGET: Final = f"{GROUP}/target"
"""On the same: the ModelDeployment that the run is for."""

LABEL_RUN: Final = f"{GROUP}/run"
"""On the same: the run, also the name of its Job."""

LABEL_BATCH: Final = f"{GROUP}/batch"
"""On what belongs to a BatchInference (Jobs, their pods): its name."""

LABEL_ALLOWED_FORMATS: Final = f"{GROUP}/allowed-formats"
"""On a namespace: formats that its models may have besides, such as `sklearn`; several with dots between them."""

LABEL_CLAIM: Final = f"{GROUP}/claim"
"""On the Lease by which an installation says that a namespace, or every one, is its own: `namespace` or `all`."""

ANNOTATION_SETTLED: Final = f"{GROUP}/settled"
"""On that Lease: the holder that has waited for the last write of whoever had it before."""

MANAGED_BY: Final = "modelward"
MANAGED_SELECTOR: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
"""Selects every object and pod that the operator made, and nothing else."""

COMPONENT_SERVER: Final = "server"
COMPONENT_ROUTER: Final = "router"
COMPONENT_MONITOR: Final = "monitor"
COMPONENT_RETRAINING: Final = "retraining"
COMPONENT_EVALUATION: Final = "evaluation"
COMPONENT_BATCH: Final = "batch"

ANNOTATION_APPLIED: Final = f"{GROUP}/applied"
"""Digest of the manifest as it was last applied: tells a field that left the manifest from one that never was in it."""

ANNOTATION_MODEL: Final = f"{GROUP}/model"
"""JSON of the model that a revision serves; on the revision's Deployment."""

ANNOTATION_ROUTES: Final = f"{GROUP}/routes"
"""JSON of the traffic that the router's ConfigMap stands for; what is written here is what the router does."""

ANNOTATION_PROMOTED: Final = f"{GROUP}/promoted"
"""JSON of when a revision became the stable one, on its Deployment: the highest number is the stable one."""

ANNOTATION_COMMAND: Final = f"{GROUP}/rollout"
"""On a ModelDeployment: what somebody asks of the rollout. The operator takes it away when it has taken it up."""

ANNOTATION_PLATFORM: Final = f"{GROUP}/platform"
"""On a ModelDeployment whose update to a newer platform failed: retry, or skip. Taken away when it is taken up."""

ANNOTATION_RESTART: Final = f"{GROUP}/restart"
"""On a ModelDeployment: each new value restarts the pods of the revision that has the traffic. In the template of its
Deployment: the value that they were restarted for."""

ANNOTATION_INTENT: Final = f"{GROUP}/intent"
"""On the record of pods: a hash of what the user wrote of them."""

ANNOTATION_UPDATE: Final = f"{GROUP}/update"
"""On the record of pods: JSON of their update to a newer platform, as far as it has come."""

ANNOTATION_MADE_OF: Final = f"{GROUP}/made-of"
"""On a Deployment: a hash of the pod template as it was rendered, whatever a webhook made of it."""

ANNOTATION_RUNTIME: Final = f"{GROUP}/runtime"
"""On pods of another server than ours, and so in their template: JSON of what it is and how it is spoken to."""

ANNOTATION_RETRAIN: Final = f"{GROUP}/retrain"
"""On a DriftPolicy: each new value asks for one run, whatever stood in its way."""

FINALIZER_RUN: Final = f"{GROUP}/run-elsewhere"
"""On a DriftPolicy while a run of it is under way in another system, which has to be told when the policy goes."""

ANNOTATION_GOING: Final = f"{GROUP}/runs-elsewhere"
"""Beside that finalizer: JSON of those runs, which is there still when their own objects are gone."""

ANNOTATION_CONFIG: Final = f"{GROUP}/config-version"
"""On router pods: touched after the ConfigMap changed, so that the kubelet refreshes the mount at once."""

ANNOTATION_REPORTER: Final = f"{GROUP}/reporter"
"""On a run's Job: the container whose termination message is the report."""

ANNOTATION_EVALUATION: Final = f"{GROUP}/evaluation"
"""On a Job that evaluates: JSON of whose quality it finds out, and of which days."""

ANNOTATION_BATCH: Final = f"{GROUP}/batch-run"
"""On the Job of a batch: JSON of why the run began, and of the model that it keeps."""

ANNOTATION_RUN: Final = f"{GROUP}/run"
"""On a BatchInference: each new value asks for one run now."""

VOLUME_IDENTITY: Final = "identity"
"""Of model pods that have a key of their own: a pod without this volume was made before there were any."""

VOLUME_CACHE: Final = "cache"
"""Of model pods that share what they downloaded and compiled: their claim."""

VOLUME_MODEL, VOLUME_LOG, VOLUME_CREDENTIALS, VOLUME_REGISTRY_CA, VOLUME_FEATURES_TOKEN = (
    "model", "prediction-log", "credentials", "registry-ca", "modelward-features-token",
)  # fmt: skip
"""Of model pods that can't start without what these are made from."""

VOLUMES_FROM: Final = frozenset({
    VOLUME_CACHE, VOLUME_MODEL, VOLUME_LOG, VOLUME_CREDENTIALS, VOLUME_REGISTRY_CA, VOLUME_FEATURES_TOKEN,
})  # fmt: skip
"""Of which it matters what they are made from: it may be missing."""

GRPC_PORT: Final = 9000
"""Of the model's Service for clients: KServe's number for gRPC."""

ANNOTATION_REFRESH: Final = f"{GROUP}/refresh"
"""On a ModelRegistry or a ModelDeployment: each new value has the registry asked now, however soon it were due."""
