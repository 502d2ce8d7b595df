"""How etcd and kube-apiserver are called; the same for the whole cluster and for the API server that tests start."""

from dataclasses import dataclass
from pathlib import Path

from localcluster import pki

AUDIT_POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:kube-scheduler", "system:kube-controller-manager", "system:apiserver"]
- level: None
  userGroups: ["system:nodes", "system:serviceaccounts:kube-system"]
- level: None
  nonResourceURLs: ["*"]
- level: Metadata
"""
"""Every request of the operator and of users is in the audit log, so that tests can count them."""


@dataclass(frozen=True)
class ControlPlane:
    """Addresses and folders of one control plane."""

    state: Path
    address: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    service_cidr: str

    @property
    def certificates(self) -> Path:
        return self.state / "certificates"

    @property
    def audit_log(self) -> Path:
        return self.state / "audit.log"

    @property
    def server(self) -> str:
        return f"https://{self.address}:{self.api_port}"

    def etcd_command(self, etcd: Path) -> list[str]:
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.etcd_peer_port}"
        return [
            str(etcd), f"--data-dir={self.state / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        ]  # fmt: skip

    def apiserver_command(self, apiserver: Path) -> list[str]:
        keys = self.certificates
        policy = self.state / "audit-policy.yaml"
        policy.write_text(AUDIT_POLICY)
        return [
            str(apiserver), f"--etcd-servers=http://127.0.0.1:{self.etcd_port}", f"--bind-address={self.address}",
            f"--advertise-address={self.address}", f"--secure-port={self.api_port}",
            f"--service-cluster-ip-range={self.service_cidr}",
            f"--tls-cert-file={keys / 'server.crt'}", f"--tls-private-key-file={keys / 'server.key'}",
            f"--client-ca-file={keys / 'ca.crt'}", f"--token-auth-file={keys / 'tokens.csv'}",
            f"--service-account-key-file={keys / 'sa.pub'}", f"--service-account-signing-key-file={keys / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=RBAC",
            f"--kubelet-client-certificate={keys / 'kubelet-client.crt'}",
            f"--kubelet-client-key={keys / 'kubelet-client.key'}",
            # Else exec and logs look the node's name up in DNS.
            "--kubelet-preferred-address-types=InternalIP",
            # By these it passes what metrics.k8s.io is asked on to metrics-server, where that runs (metricsserver.py).
            f"--proxy-client-cert-file={keys / f'{pki.AGGREGATOR}.crt'}",
            f"--proxy-client-key-file={keys / f'{pki.AGGREGATOR}.key'}",
            f"--requestheader-client-ca-file={keys / 'ca.crt'}", f"--requestheader-allowed-names={pki.AGGREGATOR}",
            "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}", "--audit-log-maxsize=200",
            "--profiling=false", "--v=1",
        ]  # fmt: skip
