"""What no training Job may have, field by field."""

from typing import Any

import pytest

from modelward.retraining.pod_template import CAPABILITIES, PARALLELISM_MAX, problem_of

Object = dict[str, Any]


def template(container: Object | None = None, pod: Object | None = None, job: Object | None = None) -> Object:
    first = {"name": "train", "image": "train:1", **(container or {})}
    return {"spec": {"template": {"spec": {"containers": [first], **(pod or {})}}, **(job or {})}}


def secured(**context: Any) -> Object:
    return template({"securityContext": context})


def of_the_pod(**context: Any) -> Object:
    return template(pod={"securityContext": context})


FORBIDDEN: dict[str, Object] = {
    "template.spec.hostNetwork": template(pod={"hostNetwork": True}),
    "template.spec.hostPID": template(pod={"hostPID": True}),
    "template.spec.hostIPC": template(pod={"hostIPC": True}),
    "template.spec.volumes[1].hostPath": template(pod={"volumes": [{"name": "a"}, {"hostPath": {"path": "/"}}]}),
    "template.spec.containers[0].securityContext.privileged": secured(privileged=True),
    "template.spec.containers[0].securityContext.allowPrivilegeEscalation": secured(allowPrivilegeEscalation=True),
    "template.spec.containers[0].securityContext.capabilities.add": secured(capabilities={"add": ["SYS_ADMIN"]}),
    "template.spec.containers[0].securityContext.procMount": secured(procMount="Unmasked"),
    "template.spec.containers[0].securityContext.seccompProfile": secured(seccompProfile={"type": "Unconfined"}),
    "template.spec.securityContext.seccompProfile": of_the_pod(seccompProfile={"type": "Unconfined"}),
    "template.spec.securityContext.appArmorProfile": of_the_pod(appArmorProfile={"type": "Unconfined"}),
    "template.spec.securityContext.seLinuxOptions": of_the_pod(seLinuxOptions={"type": "spc_t"}),
    "template.spec.securityContext.windowsOptions.hostProcess": of_the_pod(windowsOptions={"hostProcess": True}),
    "template.spec.securityContext.sysctls[0]": of_the_pod(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "template.spec.initContainers[0].securityContext.privileged": template(
        pod={"initContainers": [{"name": "i", "securityContext": {"privileged": True}}]}
    ),
    "template.spec.containers[0].ports[0].hostPort": template({"ports": [{"containerPort": 1, "hostPort": 1}]}),
    "template.spec.containers[0].livenessProbe.httpGet.host": template(
        {"livenessProbe": {"httpGet": {"host": "10.0.0.1", "port": 1}}}
    ),
    "template.spec.containers[0].lifecycle.postStart.tcpSocket.host": template(
        {"lifecycle": {"postStart": {"tcpSocket": {"host": "10.0.0.1", "port": 1}}}}
    ),
    "parallelism": template(job={"parallelism": PARALLELISM_MAX + 1}),
    "completions": template(job={"completions": 5000}),
    "manualSelector": template(job={"manualSelector": True}),
    "template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/train]": {
        "spec": {
            "template": {
                "metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/train": "unconfined"}},
                "spec": {"containers": []},
            }
        }
    },
}

ALLOWED: dict[str, Object] = {
    "a plain one": template(),
    "a restricted one": template(
        {
            "securityContext": {
                "allowPrivilegeEscalation": False, "privileged": False, "runAsNonRoot": True, "procMount": "Default",
                "capabilities": {"drop": ["ALL"], "add": sorted(CAPABILITIES)},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "ports": [{"containerPort": 8080}], "livenessProbe": {"httpGet": {"port": 8080, "path": "/"}},
        },
        {"hostNetwork": False, "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}], "securityContext": {}},
        {"parallelism": PARALLELISM_MAX, "completions": 3},
    ),
    "an SELinux level": of_the_pod(seLinuxOptions={"level": "s0:c1,c2"}),
    "a safe sysctl": of_the_pod(sysctls=[{"name": "net.ipv4.tcp_fin_timeout", "value": "30"}]),
    "what has no sense": template(
        {"securityContext": [], "ports": "x", "lifecycle": None}, {"volumes": {"a": 1}, "initContainers": [1, None]}
    ),
    "nothing": {},
}  # fmt: skip


@pytest.mark.parametrize("field", FORBIDDEN)
def test_what_reaches_beyond_the_pod_is_refused_by_name(field: str) -> None:
    said = problem_of(FORBIDDEN[field])
    assert said is not None
    assert said.startswith(f"spec.retrain.job.template.spec.{field}: ")


@pytest.mark.parametrize("case", ALLOWED)
def test_the_rest_is_the_users(case: str) -> None:
    assert problem_of(ALLOWED[case]) is None
