"""CoreDNS in the cluster."""

from localcluster import binaries, images, settings
from localcluster.clients import kubectl, node_images

COREFILE = f""".:53 {{
    errors
    health
    ready
    kubernetes {settings.CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
        ttl 5
    }}
    cache 5
    reload
}}
"""


def _manifest(image: str) -> str:
    indented = COREFILE.replace("\n", "\n    ").rstrip()
    return f"""
apiVersion: v1
kind: ServiceAccount
metadata: {{name: coredns, namespace: kube-system}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: coredns}}
rules:
- {{apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}}
- {{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: coredns}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: coredns}}
subjects: [{{kind: ServiceAccount, name: coredns, namespace: kube-system}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: coredns, namespace: kube-system}}
data:
  Corefile: |
    {indented}
---
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system}}
spec:
  clusterIP: {settings.DNS_SERVICE_IP}
  selector: {{k8s-app: kube-dns}}
  ports:
  - {{name: dns, port: 53, protocol: UDP}}
  - {{name: dns-tcp, port: 53, protocol: TCP}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: coredns, namespace: kube-system}}
spec:
  replicas: 1
  selector: {{matchLabels: {{k8s-app: kube-dns}}}}
  template:
    metadata: {{labels: {{k8s-app: kube-dns}}}}
    spec:
      serviceAccountName: coredns
      priorityClassName: system-cluster-critical
      dnsPolicy: Default
      containers:
      - name: coredns
        image: {image}
        args: [-conf, /etc/coredns/Corefile]
        ports:
        - {{containerPort: 53, name: dns, protocol: UDP}}
        - {{containerPort: 53, name: dns-tcp, protocol: TCP}}
        readinessProbe: {{httpGet: {{path: /ready, port: 8181}}, periodSeconds: 1}}
        volumeMounts: [{{name: config, mountPath: /etc/coredns, readOnly: true}}]
      volumes: [{{name: config, configMap: {{name: coredns}}}}]
"""


def install_coredns() -> None:
    """Install CoreDNS and wait until it answers."""
    binary = binaries.coredns()
    image = f"modelward.local/coredns:{binary.name.rpartition('-')[2]}"
    if image not in node_images():
        images.import_scratch(image, binary, "/coredns")
    kubectl("apply", "-f", "-", stdin=_manifest(image))
    kubectl("rollout", "status", "deployment/coredns", "-n", "kube-system", "--timeout=120s")


def coredns_is_available() -> bool:
    path = "jsonpath={.status.availableReplicas}"
    return kubectl("get", "deployment", "coredns", "-n", "kube-system", "-o", path, check=False) == "1"
