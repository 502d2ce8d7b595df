"""The Helm chart installs what kustomize does: real Helm renders it, object by object; wrong values are refused."""

import difflib
import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from libyaml import documents
from manifests import chart, pin
from manifests.alerts import generate

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests"
CHART = ROOT / "charts/modelward"
NAMESPACE = "modelward-system"
DIGESTS = {role: f"sha256:{number * 64}" for number, role in zip("abcd", pin.ROLES, strict=True)}
MONITORING = {name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule", "dashboards")}
CLUSTER_WIDE = {
    "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}  # fmt: skip
SHOWN = 40
"""Lines of a difference."""

Json = dict[str, Any]
Objects = dict[tuple[str, str, str], Json]


def run(helm: Path, *arguments: str, values: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [helm, *arguments, "--values", "-"], input=json.dumps(values), text=True, capture_output=True, check=False
    )


def rendered(helm: Path, values: Mapping[str, Any], namespace: str = NAMESPACE) -> Objects:
    done = run(helm, "template", "any", str(CHART), "--namespace", namespace, values=values)
    assert done.returncode == 0, done.stderr
    return by_name(each for each in documents(done.stdout) if each)


def refused(helm: Path, values: Mapping[str, Any]) -> str:
    done = run(helm, "template", "any", str(CHART), "--namespace", NAMESPACE, values=values)
    assert done.returncode != 0
    return done.stderr


def built(kubectl: Path, folder: Path) -> Objects:
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return by_name(documents(done.stdout))


def overlay(kubectl: Path, folder: Path, *texts: str) -> Objects:
    """What kustomizations of these texts become; `../../` in them is the repository."""
    up = "/".join([".."] * (len(folder.parts) + 1)) + str(ROOT)
    for number, text in enumerate(texts):
        (folder / f"part-{number}").mkdir()
        (folder / f"part-{number}" / "kustomization.yaml").write_text(text.replace("../..", up))
    listed = ", ".join(f"part-{number}" for number in range(len(texts)))
    (folder / "kustomization.yaml").write_text(f"resources: [{listed}]\n")
    return built(kubectl, folder)


def by_name(bodies: Iterable[Json]) -> Objects:
    """What Helm and kustomize do each in its own way is taken out of it: how a change of settings makes new pods, and
    what keeps a CRD from going with its release. A Helm release does not hold the namespace that it lies in, and
    kustomize gives admission policies one, which have none."""
    found = {}
    for body in bodies:
        text = json.dumps(body)
        for hashed in set(re.findall(r"modelward-settings-[a-z0-9]{10}\b", text)):
            text = text.replace(hashed, "modelward-settings")
        body = json.loads(text)
        if body["kind"] == "Deployment":
            body["spec"]["template"]["metadata"]["annotations"].pop("checksum/settings", None)
        if body["kind"] == "CustomResourceDefinition" and "annotations" in body["metadata"]:
            assert body["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        if body["kind"] in CLUSTER_WIDE:
            body["metadata"].pop("namespace", None)
        key = (body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"])
        assert key not in found, "one object twice"
        if body["kind"] != "Namespace":
            found[key] = body
    return found


def same(ours: Objects, theirs: Objects) -> None:
    assert ours.keys() == theirs.keys()
    for key, body in theirs.items():
        if ours[key] != body:
            # pytest's own comparison of a CRD is megabytes long.
            texts = [yaml.safe_dump(each, width=200).splitlines() for each in (body, ours[key])]
            told = list(difflib.unified_diff(*texts, "theirs", "ours", n=1, lineterm=""))
            pytest.fail("\n".join([f"{key}: {len(told)} lines", *told[:SHOWN]]))


def test_by_default_it_is_the_base(helm: Path, kubectl: Path) -> None:
    objects = rendered(helm, {})
    assert len(objects) >= 25
    same(objects, built(kubectl, MANIFESTS / "base"))


def test_without_the_operator_it_is_what_a_cluster_has_once(helm: Path, kubectl: Path) -> None:
    same(rendered(helm, {"operator": {"enabled": False}}), built(kubectl, MANIFESTS / "cluster"))


def test_for_some_namespaces_it_has_nothing_that_is_not_of_one(helm: Path, kubectl: Path, tmp_path: Path) -> None:
    """The overlay is that of docs/multi-tenancy.md."""
    page = (ROOT / "docs/multi-tenancy.md").read_text()
    blocks = dict(re.findall(r"```yaml\n# (\S+\.yaml)[^\n]*\n(.*?)```", page, re.DOTALL))
    operator, team = (blocks[f"{each}/kustomization.yaml"] for each in ("operator", "team-a"))
    texts = (operator, team, team.replace("team-a", "team-a-staging"))
    theirs = overlay(kubectl, tmp_path, *(each.replace("../../modelward", "../..") for each in texts))
    values = {"cluster": {"enabled": False}, "watchNamespaces": ["team-a", "team-a-staging"]}
    ours = rendered(helm, values, "modelward-a")
    assert not {kind for kind, _, _ in ours} & CLUSTER_WIDE
    assert {namespace for _, namespace, _ in ours} == {"modelward-a", "team-a", "team-a-staging"}
    same(ours, theirs)


def test_with_the_clusters_part_an_installation_for_some_namespaces_still_has_no_right_of_the_cluster(
    helm: Path,
) -> None:
    ours = rendered(helm, {"watchNamespaces": ["team-a"]})
    assert ("ClusterRole", "", "modelward-edit") in ours
    assert ("ClusterRole", "", "modelward-operator") not in ours
    assert ("ClusterRoleBinding", "", "modelward-operator") not in ours
    assert ("Role", "team-a", f"modelward-operator-{NAMESPACE}") in ours


def test_images_by_digest_are_those_of_make_pinned(helm: Path, kubectl: Path, tmp_path: Path) -> None:
    references = {role: f"registry.example.com:5000/ml/{role}@{DIGESTS[role]}" for role in pin.ROLES}
    (tmp_path / "kustomization.yaml").write_text(pin.installation(tmp_path, references))
    images: Json = {
        role: {"repository": f"registry.example.com:5000/ml/{role}", "digest": DIGESTS[role]} for role in pin.ROLES
    }
    ours = rendered(helm, {"images": {**images, "requireDigests": True}})
    same(ours, built(kubectl, tmp_path))
    for role in pin.ROLES:
        less = {**images, role: {"repository": "registry.example.com/a"}, "requireDigests": True}
        assert f"images.{role}.digest is empty, and images.requireDigests is set; write sha256:" in refused(
            helm, {"images": less}
        )


def test_monitoring_is_the_component_and_the_dashboards(helm: Path, kubectl: Path, tmp_path: Path) -> None:
    theirs = overlay(
        kubectl, tmp_path, "resources: [../../manifests/base]\ncomponents: [../../manifests/monitoring]\n",
        "resources: [../../manifests/dashboards]\n",
    )  # fmt: skip
    same(rendered(helm, {"monitoring": MONITORING}), theirs)


def test_what_monitors_select_is_of_the_watched_namespaces(helm: Path) -> None:
    labels = {"release": "prometheus"}
    options = {
        **MONITORING, "serviceMonitor": {"enabled": True, "labels": labels},
        "prometheusRule": {"enabled": True, "labels": labels, "runbooks": "https://wiki.example.com/r"},
    }  # fmt: skip
    ours = rendered(helm, {"watchNamespaces": ["team-a"], "monitoring": options})
    monitors = [body for (kind, _, _), body in ours.items() if kind == "PodMonitor"]
    assert [each["spec"]["namespaceSelector"] for each in monitors] == [{"matchNames": ["team-a"]}] * 2
    asked = [body for (kind, _, _), body in ours.items() if kind in ("PodMonitor", "ServiceMonitor", "PrometheusRule")]
    assert all(each["metadata"]["labels"].items() >= labels.items() for each in asked)
    books = set(re.findall(r'"runbook_url": "([^"]*/)[^/"]*"', json.dumps(asked)))
    assert books == {"https://wiki.example.com/r/"}


def test_values_of_the_pods_reach_them_and_nothing_else_changes(helm: Path) -> None:
    values: Json = {
        "replicas": 3,
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "imagePullSecrets": [{"name": "pull"}],
        "podLabels": {"team": "ml"},
        "podAnnotations": {"a/b": "c"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "x", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "extraVolumes": [{"name": "key", "secret": {"secretName": "key"}}],
        "extraVolumeMounts": [{"name": "key", "mountPath": "/var/run/key", "readOnly": True}],
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/x"}},
        "images": {"pullPolicy": "Always"},
    }
    plain, ours = rendered(helm, {}), rendered(helm, values)
    deployment = ours["Deployment", NAMESPACE, "modelward-operator"]
    before = plain["Deployment", NAMESPACE, "modelward-operator"]
    pod, (container,) = deployment["spec"]["template"]["spec"], deployment["spec"]["template"]["spec"]["containers"]
    assert deployment["spec"]["replicas"] == 3
    assert container["resources"] == values["resources"]
    assert container["imagePullPolicy"] == "Always"
    for name in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert pod[name] == values[name], name
    own = before["spec"]["template"]["spec"]
    assert pod["volumes"] == [*own["volumes"], *values["extraVolumes"]]
    assert container["volumeMounts"] == [*own["containers"][0]["volumeMounts"], *values["extraVolumeMounts"]]
    metadata = deployment["spec"]["template"]["metadata"]
    assert metadata["labels"] == {**before["spec"]["template"]["metadata"]["labels"], "team": "ml"}
    assert metadata["annotations"].items() >= {"a/b": "c", "prometheus.io/port": "8080"}.items()
    account = ours["ServiceAccount", NAMESPACE, "modelward-operator"]["metadata"]
    assert account["annotations"] == values["serviceAccount"]["annotations"]
    changed = {key for key in plain if plain[key] != ours[key]}
    assert changed == {
        ("Deployment", NAMESPACE, "modelward-operator"), ("ServiceAccount", NAMESPACE, "modelward-operator")
    }  # fmt: skip


def test_a_changed_setting_makes_new_pods(helm: Path) -> None:
    def checksum(settings: Json) -> str:
        done = run(helm, "template", "any", str(CHART), "-s", "templates/operator.yaml", values={"settings": settings})
        (body,) = [each for each in documents(done.stdout) if each["kind"] == "Deployment"]
        return str(body["spec"]["template"]["metadata"]["annotations"]["checksum/settings"])

    assert checksum({}) == checksum({"MODELWARD_LOG_LEVEL": "INFO"}) != checksum({"MODELWARD_LOG_LEVEL": "DEBUG"})


@pytest.mark.parametrize(
    ("given", "text"),
    [("json", "json"), (True, "true"), (1000000, "1000000"), (0.25, "0.25"), ('a "b" <c> & {{ d }}', None)],
)
def test_a_setting_reaches_the_operator_as_it_was_written(helm: Path, given: Any, text: str | None) -> None:
    name = {
        "json": "MODELWARD_LOG_FORMAT", True: "MODELWARD_NODE_CREDENTIALS", 1000000: "MODELWARD_RESYNC_SECONDS",
        0.25: "MODELWARD_TRACE_SHARE",
    }.get(given, "MODELWARD_OPENLINEAGE_NAMESPACE")  # fmt: skip
    found = rendered(helm, {"settings": {name: given}})["ConfigMap", NAMESPACE, "modelward-settings"]["data"]
    assert found[name] == (given if text is None else text)


@pytest.mark.parametrize(
    "values",
    [
        {}, {"monitoring": MONITORING}, {"operator": {"enabled": False}},
        {"cluster": {"enabled": False}, "watchNamespaces": ["team-a"]},
        {"cluster": {"crds": False}, "networkPolicy": {"enabled": False}},
    ],
    ids=str,
)  # fmt: skip
def test_helm_finds_nothing_to_say(helm: Path, values: Json) -> None:
    done = run(helm, "lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"replicas": 0}, "at '/replicas': minimum: got 0, want 1"),
        ({"replica": 2}, "additional properties 'replica' not allowed"),
        ({"images": {"operator": {"digest": "sha256:0a"}}}, "at '/images/operator/digest': 'sha256:0a' does not match"),
        (
            {"images": {"router": {"repository": "envoy:v1"}}},
            "at '/images/router/repository': 'envoy:v1' does not match",
        ),
        ({"images": {"inference": {"repository": ""}}}, "at '/images/inference/repository': '' does not match"),
        ({"settings": {"MODELWARD_LOG_LEVLE": "INFO"}}, "at '/settings': additional properties 'MODELWARD_LOG_LEVLE'"),
        ({"settings": {"MODELWARD_LOG_LEVEL": "LOUD"}}, "at '/settings/MODELWARD_LOG_LEVEL': value must be one of"),
        ({"settings": {"MODELWARD_SERVER_IMAGE": "a"}}, "additional properties 'MODELWARD_SERVER_IMAGE'"),
        ({"settings": {"MODELWARD_WATCH_NAMESPACES": "a"}}, "additional properties 'MODELWARD_WATCH_NAMESPACES'"),
        ({"settings": {"MODELWARD_HTTP_PORT": 9}}, "additional properties 'MODELWARD_HTTP_PORT'"),
        ({"settings": {"MODELWARD_UPDATES_AT_A_TIME": -1}}, "MODELWARD_UPDATES_AT_A_TIME': minimum: got -1, want 0"),
        ({"watchNamespaces": "team-a"}, "at '/watchNamespaces': got string, want array"),
        ({"watchNamespaces": ["Team A"]}, "at '/watchNamespaces/0': 'Team A' does not match"),
        ({"watchNamespaces": ["a", "a"]}, "at '/watchNamespaces': items at 0 and 1 are equal"),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels: app.kubernetes.io/name is how"),
        ({"podAnnotations": {"checksum/settings": "x"}}, "podAnnotations: checksum/settings is the chart's own"),
        ({"imagePullSecrets": ["pull"]}, "at '/imagePullSecrets/0': got string, want object"),
        ({"cluster": {"enabled": "yes"}}, "at '/cluster/enabled': got string, want boolean"),
        (
            {"cluster": {"enabled": False}},
            "an operator for every namespace needs a ClusterRole; name the namespaces that it is for",
        ),
        ({"cluster": {"enabled": False}, "operator": {"enabled": False}}, "nothing is left to install"),
    ],
    ids=str,
)
def test_wrong_values_are_refused_and_the_words_say_where(helm: Path, values: Json, told: str) -> None:
    assert told in refused(helm, values)


def test_the_chart_is_generated_from_these_manifests() -> None:
    stale = [path.name for path, text in chart.files().items() if not path.exists() or path.read_text() != text]
    assert not stale, "run `make chart`"
    written = {CHART / each for each in ("templates", "dashboards")}
    by_hand = {"_helpers.tpl", "settings.yaml", "dashboards.yaml", "NOTES.txt"}
    found = {path for folder in written for path in folder.iterdir() if path.name not in by_hand}
    assert found <= chart.files().keys(), "what is generated no more has to go"


def test_every_setting_is_offered_but_those_that_other_values_give() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    offered = schema["properties"]["settings"]["properties"]
    page = set(re.findall(r"^\| `(MODELWARD_\w+)` \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))
    assert page - offered.keys() == {*chart.ELSEWHERE, *chart.FIXED}
    assert offered.keys() <= page
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())["settings"]
    assert defaults == {name: value for name, value in chart.defaults().items() if name not in chart.ELSEWHERE}
    assert chart.SHAPES.keys() <= offered.keys()


def test_every_value_has_a_description_and_a_place_in_the_schema() -> None:
    def described(schema: Json, values: Any, path: str) -> None:
        for name, value in values.items():
            assert name in schema.get("properties", {}), f"{path}.{name}"
            assert len(schema["properties"][name]["description"]) > 5, f"{path}.{name}"
            if isinstance(value, dict) and "properties" in schema["properties"][name]:
                described(schema["properties"][name], value, f"{path}.{name}")

    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    described(schema, values, "")
    assert values.keys() == schema["properties"].keys() - {"global"}


def test_every_alert_of_the_chart_gets_the_link_of_the_value() -> None:
    """What Helm makes of it, and that there is none without a value, is rendered above."""
    text = (CHART / "templates/prometheusrules.yaml").read_text()
    alerts = len(re.findall(r"^ *- alert: ", (MANIFESTS / "alerts/prometheusrules.yaml").read_text(), re.MULTILINE))
    assert text.count("runbook_url: {{ . }}/") == len(chart.BOOK.findall(text)) == alerts > 0
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["monitoring"]["properties"]
    assert schema["prometheusRule"]["properties"]["runbooks"]["pattern"] == f"^({generate.WEB})?$"
