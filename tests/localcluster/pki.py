"""Certificates and tokens of a throw-away control plane: one CA, made by openssl."""

import secrets
from pathlib import Path

from localcluster.commands import run

DAYS = "3650"

AGGREGATOR = "aggregator"
"""Of the certificate by which the API server passes requests on, in the name of who sent them."""


def create(folder: Path, server_names: list[str], client_names: dict[str, str]) -> None:
    """Make ca, server and service-account keys, the certificate by which the API server shows itself to others that
    answer for a part of its API, and a client certificate for each of `client_names`: name → subject.

    Of what is there already, a control plane lives: only certificates that it lacks are added then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fresh = not (folder / "complete").exists()
    ca: list[str | Path] = ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial"]
    key: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", DAYS]
    if fresh:
        run(
            ["openssl", "req", "-x509", *key, "-subj", "/CN=modelward-local-ca", "-keyout", folder / "ca.key",
             "-out", folder / "ca.crt", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        )  # fmt: skip
    names = f"subjectAltName={','.join(server_names)}"
    for name, subject in {"server": "/CN=kube-apiserver", AGGREGATOR: f"/CN={AGGREGATOR}", **client_names}.items():
        if not fresh and (folder / f"{name}.crt").exists():
            continue
        request: list[str | Path] = ["openssl", "req", *key, "-subj", subject, "-keyout", folder / f"{name}.key"]
        run([*request, "-out", folder / f"{name}.csr"])
        extensions = folder / f"{name}.ext"
        extensions.write_text(f"{names}\n" if name == "server" else "extendedKeyUsage=clientAuth\n")
        run(
            ["openssl", "x509", "-req", "-in", folder / f"{name}.csr", *ca, "-days", DAYS, "-extfile", extensions,
             "-out", folder / f"{name}.crt"]
        )  # fmt: skip
    if fresh:
        run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"])
        run(["openssl", "rsa", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub"])
        token = secrets.token_urlsafe(32)
        (folder / "token").write_text(token)
        (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    for secret in folder.glob("*.key"):
        secret.chmod(0o600)
    (folder / "complete").touch()


def kubeconfig(folder: Path, server: str, name: str) -> str:
    """A kubeconfig with the administrator's token."""
    return f"""apiVersion: v1
kind: Config
current-context: {name}
clusters:
- name: {name}
  cluster: {{server: "{server}", certificate-authority: "{folder / "ca.crt"}"}}
users:
- name: {name}
  user: {{token: "{(folder / "token").read_text()}"}}
contexts:
- name: {name}
  context: {{cluster: {name}, user: {name}}}
"""
