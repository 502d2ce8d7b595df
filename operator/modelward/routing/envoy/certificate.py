"""TLS of the router's pods: the Secret that they mount, and how they begin where it holds no certificate.

The operator reads no Secret. A pod whose certificate can't be loaded says so on its way out, in words that become a
condition, and never becomes ready: what ran before goes on. One that runs keeps the certificate that it has.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from modelward.api.modeldeployment import ModelDeployment, Tls
from modelward.routing.envoy import bootstrap as envoy

PORT_NAME: Final = "https"
"""Of the pods' port for clients, and of the Service's, where they speak TLS; `http` where they don't."""

_VOLUME: Final = "certificate"

_BEGIN: Final = f"""\
refuse() {{ printf '%s' "$1" > /dev/termination-log; printf '%s\\n' "$1" >&2; exit 1; }}
for file in {" ".join(envoy.TLS_FILES)}; do
  [ -s "{envoy.TLS_DIR}/$file" ] || refuse "$CERTIFICATE_MISSING"
done
envoy --mode validate --log-level error --config-yaml "$CERTIFICATE_CHECK" || refuse "$CERTIFICATE_INVALID"
exec envoy "$@"
"""


def volume(tls: Tls) -> dict[str, Any]:
    """Optional: where the Secret is missing, a pod can say so; without that it would wait without a word."""
    items = [{"key": name, "path": name} for name in envoy.TLS_FILES]
    return {"name": _VOLUME, "secret": {"secretName": tls.secret_name, "optional": True, "items": items}}


def container(owner: ModelDeployment, tls: Tls) -> dict[str, Any]:
    """What the container has besides: a beginning that looks at the certificate."""
    secret = f"Secret {tls.secret_name}"
    missing = (
        f"{secret} is not there, or has no tls.crt and tls.key. Create it in namespace {owner.namespace}, for example "
        f"with `kubectl create secret tls {tls.secret_name} --cert=tls.crt --key=tls.key -n {owner.namespace}`, or "
        "correct spec.router.tls.secretName"
    )
    invalid = (
        f"Envoy can't load tls.crt and tls.key of {secret}: they have to be a certificate chain and the private key of "
        "its first certificate, in PEM and without a passphrase. The log of the router's pod says what is wrong; write "
        "the Secret anew"
    )
    told = {
        "CERTIFICATE_MISSING": json.dumps({"reason": "CertificateMissing", "message": missing}),
        "CERTIFICATE_INVALID": json.dumps({"reason": "CertificateInvalid", "message": invalid}),
        "CERTIFICATE_CHECK": json.dumps(envoy.certificate_check(), separators=(",", ":")),
    }
    return {
        "command": ["bash", "-c", _BEGIN, "envoy"],
        "env": [{"name": name, "value": value} for name, value in told.items()],
    }


def mount() -> dict[str, Any]:
    return {"name": _VOLUME, "mountPath": envoy.TLS_DIR, "readOnly": True}


def tls_of(deployment: Mapping[str, Any] | None) -> Tls | None:
    """What a router's Deployment in the cluster was made with."""
    pod = deployment["spec"]["template"]["spec"] if deployment else {}
    for each in pod.get("volumes") or ():
        if each["name"] == _VOLUME and "secret" in each:
            return Tls(str(each["secret"]["secretName"]))
    return None


def leads_to_tls(service: Mapping[str, Any]) -> bool:
    """Whether a router's Service in the cluster leads to pods that speak TLS."""
    return any(each.get("name") == PORT_NAME for each in service["spec"].get("ports") or ())
