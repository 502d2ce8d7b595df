"""Small servers that stand for revisions: each answers REST and gRPC with its own name, and counts what it was sent.

As the inference server does, each says its revision and its model's version in headers, and in trailing metadata.
"""

import json
from typing import Any

from localcluster import images
from localcluster.clients import kubectl
from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment
from modelward.kube import manifests as common
from modelward.revisions import deployment as revision

SCRIPT = """
import collections, http.server, json, sys
from concurrent import futures
import grpc
name, counts = sys.argv[1], collections.Counter()
told = {"x-modelward-revision": name, "x-modelward-model-version": "7"}
class Rest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        for header, value in told.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(json.dumps(counts).encode())
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        counts["rest"] += 1
        self.answer(name.encode())
    def log_message(self, *arguments):
        pass
class Grpc(grpc.GenericRpcHandler):
    def service(self, call):
        def infer(request, context):
            counts["grpc"] += 1
            context.set_trailing_metadata(tuple(told.items()))
            return name.encode()
        return grpc.unary_unary_rpc_method_handler(infer)
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((Grpc(),))
server.add_insecure_port("[::]:9000")
server.start()
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("", 8080), Rest).serve_forever()
"""


def start(owner: ModelDeployment, *revisions: str) -> None:
    """Make them, and wait until they are ready."""
    image = images.ensure(["inference"])["inference"]
    manifests = [
        manifest
        for name in revisions
        for manifest in (without_owner(revision.service(owner, name)), _deployment(owner, name, image))
    ]
    kubectl("apply", "-f", "-", stdin=listed(manifests))
    for name in revisions:
        kubectl("rollout", "status", f"deployment/{name}", "-n", owner.namespace, "--timeout=120s")


def remove(owner: ModelDeployment, name: str) -> None:
    """As the operator takes a revision away: the Service first, then the pods, with the time that they ask for."""
    for kind in ("service", "deployment"):
        kubectl("delete", kind, name, "-n", owner.namespace, "--wait=false")
    kubectl(
        "wait", "pod", "-n", owner.namespace, "-l", f"{names.LABEL_REVISION}={name}", "--for=delete", "--timeout=60s"
    )


def listed(manifests: list[Any]) -> str:
    """For one call of kubectl, in their order: each is a process, which takes half a second on a busy machine."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})


def without_owner(manifest: Any) -> Any:
    """There is no ModelDeployment here, and the garbage collector would remove what refers to none."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "ownerReferences"}
    return {**manifest, "metadata": metadata}


def _deployment(owner: ModelDeployment, name: str, image: str) -> dict[str, Any]:
    labels = common.selector(owner, names.COMPONENT_SERVER, name)
    probe = {"httpGet": {"path": "/v2/health/ready", "port": 8080}, "periodSeconds": 1}
    container = {
        "name": "server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/opt/venv/bin/python3", "-c", SCRIPT, name],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "grpc", "containerPort": 9000}],
        "readinessProbe": probe,
        # It serves on while everybody learns that it leaves, as the real server does.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(revision.DRAIN_SECONDS)]}}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
        },
    }  # fmt: skip
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": revision.DRAIN_SECONDS + 1,
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": owner.namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
