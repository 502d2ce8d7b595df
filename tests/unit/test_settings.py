"""The operator's settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from builders import owner
from modelward.api.modeldeployment import Monitor
from modelward.registries.roles import Identity, Lending
from modelward.revisions import deployment as revision
from modelward.routing.envoy import objects as router
from modelward.setting_values import Asked, SettingsError
from modelward.settings import load

COMPLETE = {"MODELWARD_SERVER_IMAGE": "a:1", "MODELWARD_ROUTER_IMAGE": "b:1", "POD_NAME": "p", "POD_UID": "u"}


def test_complete() -> None:
    loaded = load(COMPLETE)
    assert loaded.identity == "p_u"
    assert loaded.platform.server_image == "a:1"
    assert loaded.platform.cluster_domain == "cluster.local"


@pytest.mark.parametrize(
    ("text", "namespace"), [("", "mine"), ("true", "mine"), ("True", "mine"), ("false", None), (" FALSE ", None)]
)
def test_network_policies_are_made_unless_they_are_switched_off(text: str, namespace: str | None) -> None:
    given = {**COMPLETE, "POD_NAMESPACE": "mine", "MODELWARD_NETWORK_POLICIES": text}
    assert load(given).platform.operator_namespace == namespace


def test_a_switch_is_true_or_false() -> None:
    with pytest.raises(SettingsError, match="MODELWARD_NETWORK_POLICIES is 'off'; set it to true or false"):
        load({**COMPLETE, "MODELWARD_NETWORK_POLICIES": "off"})


@pytest.mark.parametrize("missing", ["MODELWARD_SERVER_IMAGE", "MODELWARD_ROUTER_IMAGE"])
def test_a_missing_image_is_named(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        load({name: value for name, value in COMPLETE.items() if name != missing})


def test_the_evaluators_image_may_be_left_out_and_not_be_none() -> None:
    assert load(COMPLETE).platform.evaluate_image == ""
    assert load({**COMPLETE, "MODELWARD_EVALUATE_IMAGE": " evaluate:1 "}).platform.evaluate_image == "evaluate:1"
    with pytest.raises(SettingsError, match="MODELWARD_EVALUATE_IMAGE is 'a b', which is no image"):
        load({**COMPLETE, "MODELWARD_EVALUATE_IMAGE": "a b"})


DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    "image",
    ["envoy", "envoy:v1.40.0", f"envoy@{DIGEST}", f"docker.io/envoyproxy/envoy:v1.40.0@{DIGEST}", "localhost:5000/a/b",
     f"localhost:5000/a/b:1@{DIGEST}", "registry.example.com/my__team/in-house_server.2:2026.11_rc-1",
     f"[2001:db8::1]:5000/a@{DIGEST}", "a@sha512:" + "0" * 128, "Registry.Example.com/a",
     "my_image__x:1", f"my_image@{DIGEST}"],
)  # fmt: skip
def test_images_by_tag_and_by_digest_reach_the_pods_as_they_stand(image: str) -> None:
    platform = load({**COMPLETE, "MODELWARD_SERVER_IMAGE": image, "MODELWARD_ROUTER_IMAGE": image}).platform
    served = revision.deployment(owner(monitor=Monitor()), platform, "fraud-a", 1)["spec"]["template"]["spec"]
    routed = router.deployment(owner(), platform)["spec"]["template"]["spec"]
    containers = [*served["initContainers"], *served["containers"], *routed["containers"]]
    assert len(containers) == 5
    assert {each["image"] for each in containers} == {image}


@pytest.mark.parametrize(
    "image",
    ["envoy@sha256:0a", f"envoy@{DIGEST}0", f"envoy@{DIGEST.upper()}", f"@{DIGEST}", "envoy@", "envoy:", "a b",
     "a/../b", "envoy:v1:v2", f"envoy@{DIGEST}@{DIGEST}", "https://registry/a", "/a", "a/B:1", "Upper", "a//b", "a/",
     "a__", "registry:5000/", "a..b", "a@md5:" + "0" * 32],
)  # fmt: skip
def test_what_is_no_image_is_told_at_once(image: str) -> None:
    for name in ("MODELWARD_SERVER_IMAGE", "MODELWARD_ROUTER_IMAGE"):
        with pytest.raises(SettingsError, match=rf"{name} is .* no image; write name:tag, name@sha256"):
            load({**COMPLETE, name: image})


@pytest.mark.parametrize("text", ["0", "-1", "x", ""])
def test_a_wrong_number_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="MODELWARD_RESYNC_SECONDS"):
        load({**COMPLETE, "MODELWARD_RESYNC_SECONDS": text})


def test_without_a_pod_the_identity_is_of_this_process_alone() -> None:
    assert load({**COMPLETE, "POD_UID": ""}).identity != load({**COMPLETE, "POD_UID": ""}).identity


def test_the_label_of_a_namespace_is_a_label() -> None:
    assert load(COMPLETE).prometheus_namespace_label is None
    given = {**COMPLETE, "MODELWARD_PROMETHEUS_NAMESPACE_LABEL": "kubernetes_namespace"}
    assert load(given).prometheus_namespace_label == "kubernetes_namespace"
    with pytest.raises(SettingsError, match="NAMESPACE_LABEL is 'a=b'"):
        load({**COMPLETE, "MODELWARD_PROMETHEUS_NAMESPACE_LABEL": "a=b"})


def test_formats_and_downloads() -> None:
    platform = load(COMPLETE).platform
    assert platform.allowed_formats == ("onnx", "skops", "xgboost", "lightgbm")
    assert (platform.max_model_size, platform.node_credentials) == (10 << 30, False)
    given = {
        "MODELWARD_ALLOWED_FORMATS": "onnx, joblib", "MODELWARD_MAX_MODEL_SIZE": "512Mi",
        "MODELWARD_NODE_CREDENTIALS": "true",
    }  # fmt: skip
    platform = load({**COMPLETE, **given}).platform
    assert platform.allowed_formats == ("onnx", "sklearn")
    assert (platform.max_model_size, platform.node_credentials) == (512 << 20, True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MODELWARD_ALLOWED_FORMATS", "onnx sklaern"),
        ("MODELWARD_MAX_MODEL_SIZE", "much"),
        ("MODELWARD_MAX_MODEL_SIZE", "0"),
        ("MODELWARD_MAX_MODEL_SIZE", ""),
        ("MODELWARD_NODE_CREDENTIALS", "perhaps"),
    ],
)
def test_a_wrong_setting_of_downloads_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load({**COMPLETE, name: text})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, None), ("", None), ("  ", None), ("ml", ("ml",)), ("ml team-a", ("ml", "team-a")),
        (" ml,team-a ,\n9 ml", ("ml", "team-a", "9")), ("a" * 63, ("a" * 63,)),
    ],
)  # fmt: skip
def test_namespaces(text: str | None, found: tuple[str, ...] | None) -> None:
    assert load(COMPLETE | ({} if text is None else {"MODELWARD_WATCH_NAMESPACES": text})).watch_namespaces == found


@pytest.mark.parametrize("text", [",", "*", "ml,Team", "ml -a", "a-", "team_a", "team.a", "!ml", "a" * 64, "ml;b"])
def test_what_is_no_namespace_is_named_and_never_means_all(text: str) -> None:
    with pytest.raises(SettingsError, match=r"MODELWARD_WATCH_NAMESPACES is .* can't be a namespace's name"):
        load({**COMPLETE, "MODELWARD_WATCH_NAMESPACES": text})


def test_how_prometheus_knows_the_operator() -> None:
    assert (load(COMPLETE).prometheus_token_file, load(COMPLETE).prometheus_tenant) == (None, None)
    given = {"MODELWARD_PROMETHEUS_TOKEN_FILE": "/var/run/token", "MODELWARD_PROMETHEUS_TENANT": "team-a|team-b"}
    found = load({**COMPLETE, **given})
    assert (str(found.prometheus_token_file), found.prometheus_tenant) == ("/var/run/token", "team-a|team-b")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MODELWARD_PROMETHEUS_TOKEN_FILE", "token"),
        ("MODELWARD_PROMETHEUS_TENANT", "a b"),
        ("MODELWARD_PROMETHEUS_TENANT", "a\nX-Other: b"),
        ("MODELWARD_PROMETHEUS_TENANT", "a" * 151),
    ],
)
def test_a_wrong_setting_of_prometheus_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load({**COMPLETE, name: text})


def test_a_wrong_setting_ends_the_process_with_words_and_a_code_of_its_own() -> None:
    given = {**os.environ, **COMPLETE, "MODELWARD_WATCH_NAMESPACES": "Team A"}
    ended = subprocess.run(
        [sys.executable, "-m", "modelward"], env=given, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("modelward-operator: MODELWARD_WATCH_NAMESPACES is 'Team A': Team, A can't be")


@pytest.mark.parametrize(("text", "models"), [("0", 0), ("12", 12)])
def test_how_many_models_are_updated_at_a_time(text: str, models: int) -> None:
    assert load({**COMPLETE, "MODELWARD_UPDATES_AT_A_TIME": text}).updates_at_a_time == models
    assert load(COMPLETE).updates_at_a_time == 5


@pytest.mark.parametrize("text", ["-1", "some", "1.5", ""])
def test_a_number_of_updates_that_is_none_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match="MODELWARD_UPDATES_AT_A_TIME"):
        load({**COMPLETE, "MODELWARD_UPDATES_AT_A_TIME": text})


ROLE = "arn:aws:iam::123456789012:role/models"


def test_nobody_is_lent_an_identity_unless_the_installation_says_to_whom_and_for_what() -> None:
    assert load(COMPLETE).lending == Lending()
    found = load({**COMPLETE, "MODELWARD_ROLES": f"team-a={ROLE}, *=arn:aws-cn:iam::000000000000:role/models/*"})
    assert found.lending.allows("team-a", ROLE)
    assert not found.lending.allows("team-b", ROLE)
    assert found.lending.allows("team-b", "arn:aws-cn:iam::000000000000:role/models/x")
    assert found.lending.identity is None
    pod = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token", "AWS_ROLE_ARN": ROLE}
    assert load({**COMPLETE, **pod}).lending.identity == Identity(Path("/var/run/token"), ROLE)
    del pod["AWS_ROLE_ARN"]
    assert load({**COMPLETE, **pod}).lending.identity == Identity(Path("/var/run/token"), None)


@pytest.mark.parametrize(
    "text",
    [
        ROLE, f"={ROLE}", "*", "team-a=", "team-a=*", f"team-*={ROLE}", f"Team={ROLE}", "a=arn:aws:iam::*:role/models",
        "a=arn:aws:iam::123456789012:user/ann", "a=arn:aws:iam::123456789012:*",
        "a=arn:aws:iam::123456789012:role/[a-z]",
        "a=arn:*:iam::123456789012:role/x",
    ],
)  # fmt: skip
def test_a_role_that_would_mean_more_than_it_says_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="MODELWARD_ROLES"):
        load({**COMPLETE, "MODELWARD_ROLES": text})


def test_lineage_goes_nowhere_unless_an_address_is_set() -> None:
    assert load(COMPLETE).openlineage_url is None
    given = {**COMPLETE, "MODELWARD_OPENLINEAGE_URL": " http://marquez.lineage.svc:5000/ "}
    loaded = load(given)
    assert loaded.openlineage_url == "http://marquez.lineage.svc:5000/api/v1/lineage"
    assert (loaded.openlineage_namespace, loaded.openlineage_namespaces) == ("modelward", ("*",))
    assert load({**given, "MODELWARD_OPENLINEAGE_NAMESPACES": "ml, team-*"}).openlineage_namespaces == ("ml", "team-*")
    whole = "https://lineage.example.com/ingest?tenant=a"
    assert load({**COMPLETE, "MODELWARD_OPENLINEAGE_URL": whole}).openlineage_url == whole


@pytest.mark.parametrize(
    "address",
    ["marquez:5000", "ftp://marquez", "http://", "http://marquez:99999", "http://ann:hunter2@marquez", "http://a b/",
     "http://marquez/#x", "http://märquez/"],
)  # fmt: skip
def test_an_address_of_lineage_that_is_none_is_told_without_its_password(address: str) -> None:
    with pytest.raises(SettingsError, match="MODELWARD_OPENLINEAGE_URL is") as found:
        load({**COMPLETE, "MODELWARD_OPENLINEAGE_URL": address})
    assert "hunter2" not in str(found.value)


def test_a_key_of_lineage_is_a_file_by_its_whole_path() -> None:
    with pytest.raises(SettingsError, match="MODELWARD_OPENLINEAGE_API_KEY_FILE"):
        load({**COMPLETE, "MODELWARD_OPENLINEAGE_API_KEY_FILE": "key"})
    with pytest.raises(SettingsError, match="MODELWARD_OPENLINEAGE_NAMESPACE is"):
        load({**COMPLETE, "MODELWARD_OPENLINEAGE_NAMESPACE": "x" * 254})


ROOT = Path(__file__).parents[2]

WRONG: dict[str, str] = {
    "MODELWARD_SERVER_IMAGE": "a b", "MODELWARD_ROUTER_IMAGE": "a b", "MODELWARD_CLUSTER_DOMAIN": "cluster.local.",
    "MODELWARD_EVALUATE_IMAGE": "a b",
    "MODELWARD_OTLP_ENDPOINT": "https://collector:4318", "MODELWARD_TRACE_SHARE": "1.5",
    "MODELWARD_ALLOWED_FORMATS": "onix", "MODELWARD_MAX_MODEL_SIZE": "much", "MODELWARD_NODE_CREDENTIALS": "yes",
    "MODELWARD_HTTPS_PROXY": "proxy:3128", "MODELWARD_NO_PROXY": "http://svc", "MODELWARD_CA_CONFIGMAP": "Our_CA",
    "MODELWARD_OCI_PLAIN_HTTP": "http://registry:5000", "MODELWARD_NETWORK_POLICIES": "no",
    "MODELWARD_HTTP_PORT": "65536", "MODELWARD_REGISTRY_WEBHOOK_PORT": "8080", "MODELWARD_LOG_LEVEL": "LOUD",
    "MODELWARD_LOG_FORMAT": "xml", "MODELWARD_RUNTIMES_DIR": "runtimes",
    "MODELWARD_RESYNC_SECONDS": "10m", "MODELWARD_PROMETHEUS_URL": "prometheus:9090",
    "MODELWARD_PROMETHEUS_NAMESPACE_LABEL": "a-b", "MODELWARD_PROMETHEUS_TOKEN_FILE": "token",
    "MODELWARD_PROMETHEUS_TENANT": "a b", "MODELWARD_UPDATES_AT_A_TIME": "all", "MODELWARD_WATCH_NAMESPACES": "*",
    "MODELWARD_WEBHOOK_HOSTS": "https://ci.example.com", "MODELWARD_WEBHOOK_PLAIN_HOSTS": "http://airflow",
    "MODELWARD_REGISTRY_HOSTS": "mlflow:5000",
    "MODELWARD_ROLES": "*", "MODELWARD_STS_URL": "sts.eu-west-1.amazonaws.com",
    "MODELWARD_OPENLINEAGE_URL": "marquez", "MODELWARD_OPENLINEAGE_NAMESPACE": "a\nb",
    "MODELWARD_OPENLINEAGE_API_KEY_FILE": "key", "MODELWARD_OPENLINEAGE_NAMESPACES": "Team/a",
}  # fmt: skip
"""Of each setting a value that it can't have."""


def settings() -> set[str]:
    given = Asked(COMPLETE)
    load(given)
    return {name for name in given.names if name.startswith("MODELWARD_")}


def test_every_setting_is_refused_by_its_name_where_it_is_wrong() -> None:
    assert settings() == set(WRONG)
    for name, text in WRONG.items():
        with pytest.raises(SettingsError, match=f"^{name}( is|:) "):
            load({**COMPLETE, name: text})


def test_every_setting_is_on_the_page_of_settings() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    assert set(re.findall(r"^\| `(MODELWARD_[A-Z_]+)` \|", page, re.MULTILINE)) == settings()


def test_every_setting_is_in_the_manifests_but_those_that_hang_on_them() -> None:
    (made,) = yaml.safe_load((ROOT / "manifests/base/kustomization.yaml").read_text())["configMapGenerator"]
    given = dict(each.split("=", 1) for each in made["literals"])
    of_the_process = {"MODELWARD_HTTP_PORT", "MODELWARD_REGISTRY_WEBHOOK_PORT", "MODELWARD_RESYNC_SECONDS"}
    assert set(given) == settings() - of_the_process
    load(given)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MODELWARD_STS_URL", "http://sts.eu-west-1.amazonaws.com"), ("MODELWARD_STS_URL", "https://sts/?a=b"),
        ("MODELWARD_STS_URL", "https://ann:hunter2@sts"), ("MODELWARD_PROMETHEUS_URL", "http://prometheus/?x=1"),
        ("MODELWARD_HTTPS_PROXY", "socks5://proxy"), ("MODELWARD_HTTPS_PROXY", "ann:hunter2@proxy:3128"),
        ("MODELWARD_REGISTRY_HOSTS", "*.example.com/mlflow"),
        ("MODELWARD_REGISTRY_HOSTS", "ann:hunter2@mlflow"), ("MODELWARD_CLUSTER_DOMAIN", "-a"),
        ("MODELWARD_HTTP_PORT", "0"), ("MODELWARD_HTTP_PORT", "٣"), ("MODELWARD_HTTP_PORT", "9" * 5000),
        ("MODELWARD_NO_PROXY", "10.0.0.0/8/9"), ("MODELWARD_OCI_PLAIN_HTTP", "registry:5000/models"),
    ],
)  # fmt: skip
def test_what_would_only_fail_later_fails_at_the_start(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name) as found:
        load({**COMPLETE, name: text})
    assert "hunter2" not in str(found.value)


def test_a_name_that_is_none_is_told_and_not_taken_for_the_default() -> None:
    assert load(COMPLETE).unknown == ()
    of_services = {
        "MODELWARD_OPERATOR_SERVICE_HOST": "10.0.0.1", "MODELWARD_OPERATOR_SERVICE_PORT_HTTP": "8080",
        "MODELWARD_OPERATOR_PORT": "tcp://10.0.0.1:8080", "MODELWARD_OPERATOR_PORT_8080_TCP_ADDR": "10.0.0.1",
    }  # fmt: skip
    given = {"MODELWARD_WATCH_NAMESPACE": "team-a", "MODELWARD_COLOUR": "blue", "PATH": "/bin", **of_services}
    assert load({**COMPLETE, **given}).unknown == (
        "MODELWARD_COLOUR is no setting of this operator (docs/settings.md)",
        "MODELWARD_WATCH_NAMESPACE is no setting of this operator; MODELWARD_WATCH_NAMESPACES is one "
        "(docs/settings.md)",
    )


def test_what_people_write_is_taken() -> None:
    given = {
        "MODELWARD_STS_URL": " https://vpce-1a2b.sts.eu-west-1.vpce.amazonaws.com ",
        "MODELWARD_PROMETHEUS_URL": "https://mimir.example.com/prometheus",
        "MODELWARD_HTTPS_PROXY": "http://ann:hunter2@proxy.example.com:3128",
        "MODELWARD_NO_PROXY": "localhost,127.0.0.1, .svc,10.0.0.0/8,[::1],*.example.com,registry:5000,fd00::/8",
        "MODELWARD_OCI_PLAIN_HTTP": "registry.ci.svc:5000, localhost:5000 [::1]:5000",
        "MODELWARD_REGISTRY_HOSTS": "mlflow.ml.svc, *.example.com 10.0.0.7 fd00::7 mlflow-[ab]",
        "MODELWARD_CA_CONFIGMAP": "company-ca", "MODELWARD_CLUSTER_DOMAIN": "", "MODELWARD_LOG_LEVEL": "debug",
    }  # fmt: skip
    found = load({**COMPLETE, **given})
    assert found.lending.sts_url == "https://vpce-1a2b.sts.eu-west-1.vpce.amazonaws.com"
    assert found.prometheus_url == given["MODELWARD_PROMETHEUS_URL"]
    assert (found.platform.https_proxy, found.platform.no_proxy) == (
        given["MODELWARD_HTTPS_PROXY"], given["MODELWARD_NO_PROXY"],
    )  # fmt: skip
    assert found.platform.oci_plain_http == given["MODELWARD_OCI_PLAIN_HTTP"]
    assert found.registry_hosts == ("mlflow.ml.svc", "*.example.com", "10.0.0.7", "fd00::7", "mlflow-[ab]")
    assert (found.platform.cluster_domain, found.log_level) == ("cluster.local", "DEBUG")
