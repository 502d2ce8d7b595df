"""The Job of a run: what its pods are told, what they can reach, and what becomes of one that fails."""

import json
from dataclasses import replace
from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api.batchinference import BatchInference
from modelward.api.modeldeployment import Model, SecretReference
from modelward.batches.job_manifest import RunModel, job
from modelward.batches.run import Run, Used, about_of
from modelward.models.resolved import Access, ResolvedModel
from modelward.revisions import deployment as revision
from unit.batches.batches import TAKEN, USED, batch

RUN = Run("nightly-0123456789", "Schedule", "asked", slot=1_767_232_800.0)
OWN = RunModel(Model("s3://models/churn.onnx"), Used(name="nightly", uri="s3://models/churn.onnx"))


def made(given: BatchInference | None = None, taken: RunModel = TAKEN, platform: Any = PLATFORM) -> Any:
    return job(given or batch(), platform, RUN, taken)


def pod_of(body: Any) -> Any:
    return body["spec"]["template"]["spec"]


def container(body: Any, name: str) -> Any:
    pod = pod_of(body)
    (found,) = [each for each in (*pod["initContainers"], *pod["containers"]) if each["name"] == name]
    return found


def variables(body: Any, name: str = "score") -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(body, name)["env"] if "value" in each}


def asked(body: Any) -> Any:
    return json.loads(variables(body)["MODELWARD_BATCH"].replace("$$", "$"))


def test_what_the_pods_are_told() -> None:
    given = batch(columns={"amount": "amount_eur"}, maxRejectedShare="0.5%", parallelism=4)
    body = made(given)
    assert asked(body) == {
        "run": "nightly-0123456789",
        "input": {"uri": "s3://lake/churn/"},
        "output": {"uri": "s3://lake/scored/"},
        "keys": ["customer"],
        "columns": {"amount": "amount_eur"},
        "maxRejectedShare": 0.005,
        "model": {
            "name": "churn", "version": "3", "revision": "churn-0123456789", "uri": "s3://models/churn.onnx",
            "digest": USED.digest,
        },
    }  # fmt: skip
    told = variables(body)
    assert (told["MODELWARD_BATCH_PODS"], told["MODEL_NAME"], told["BUNDLE_DIR"]) == ("4", "churn", "/bundle")
    assert told["ARTIFACT_DIR"] == "/artifact"
    assert container(body, "score")["command"] == ["/opt/venv/bin/python3", "-m", "modelward_batch"]
    assert asked(made(batch(input={"uri": "s3://lake/a", "format": "csv"})))["input"]["format"] == "csv"


def test_a_dollar_sign_is_no_variable_of_kubernetes() -> None:
    body = made(batch(keys=["$(AWS_SECRET_ACCESS_KEY)"]))
    assert "$$(AWS_SECRET_ACCESS_KEY)" in variables(body)["MODELWARD_BATCH"]
    assert asked(body)["keys"] == ["$(AWS_SECRET_ACCESS_KEY)"]


def test_the_job_shares_the_rows_and_tries_each_pod_again() -> None:
    body = made(batch(parallelism=4, retries=2, deadline="90m"))
    spec = body["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"], spec["activeDeadlineSeconds"]) == (2, 0, 5400)
    assert spec["podFailurePolicy"]["rules"] == [
        {"action": "FailJob", "onExitCodes": {"containerName": "score", "operator": "In", "values": [3]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    assert pod_of(body)["restartPolicy"] == "Never"
    assert "ttlSecondsAfterFinished" not in spec, "it would be gone before its end is told"


def test_the_job_says_whose_it_is_and_what_it_keeps() -> None:
    body = made()
    (reference,) = body["metadata"]["ownerReferences"]
    assert (reference["kind"], reference["uid"], reference["controller"]) == ("BatchInference", "uid-1", True)
    kept = about_of(body)
    assert kept is not None
    assert (kept.model, kept.slot, kept.trigger, kept.pods) == (USED, RUN.slot, "Schedule", 1)
    assert kept.output == "s3://lake/scored/nightly-0123456789/"
    labels = body["spec"]["template"]["metadata"]["labels"]
    assert (labels["modelward.io/batch"], labels["modelward.io/run"]) == ("nightly", "nightly-0123456789")


def test_the_model_is_brought_as_a_serving_pod_brings_it() -> None:
    """But for the key by which the operator knows a pod that it asks, and the claim of a cache."""
    model = Model("s3://models/churn.onnx", credentials_secret=SecretReference("models"))
    serving = revision.shape(owner("churn", model=model), PLATFORM, "churn-0123456789").template["spec"]
    scoring = pod_of(made(taken=replace(TAKEN, model=model)))
    for ours, theirs in zip(scoring["initContainers"], serving["initContainers"], strict=True):
        assert ours["name"] == theirs["name"]
        same = [each for each in theirs["env"] if each["name"] not in ("POD_KEY", "MODEL_FIRST_DIGEST")]
        assert [each for each in ours["env"] if each["name"] != "MODEL_FIRST_DIGEST"] == same
        assert (ours["args"], ours["image"]) == (theirs["args"], theirs["image"])
        assert ours["securityContext"] == theirs["securityContext"]
        assert ours.get("envFrom") == theirs.get("envFrom")
        assert ours["volumeMounts"] == [each for each in theirs["volumeMounts"] if each["name"] != "identity"]


def test_the_run_gets_the_bytes_that_the_stable_revision_serves() -> None:
    body = made()
    assert variables(body, "download")["MODEL_FIRST_DIGEST"] == USED.digest
    pinned = replace(TAKEN, model=Model("s3://models/churn.onnx", digest=USED.digest))
    assert "MODEL_FIRST_DIGEST" not in variables(made(taken=pinned), "download")
    assert variables(made(taken=pinned), "download")["MODEL_DIGEST"] == USED.digest


def test_a_digest_that_was_seen_vouches_for_nothing() -> None:
    """Only one that somebody pinned lets a format run code."""
    taken = RunModel(Model("s3://models/churn.joblib"), USED, USED.digest)
    for name in ("download", "compile", "score"):
        assert "sklearn" not in variables(made(taken=taken), name)["MODEL_ALLOWED_FORMATS"]


def test_what_loads_the_model_has_no_credentials_and_what_scores_has_those_of_the_rows_alone() -> None:
    model = Model("s3://models/churn.onnx", credentials_secret=SecretReference("models"))
    body = made(batch(credentialsSecret={"name": "lake"}), replace(TAKEN, model=model))
    assert container(body, "download")["envFrom"] == [{"secretRef": {"name": "models"}}]
    assert not any("valueFrom" in each for each in container(body, "compile")["env"])
    assert "envFrom" not in container(body, "compile")
    score = container(body, "score")
    assert "envFrom" not in score, "a Secret sets no variable of the interpreter"
    keys = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in score["env"] if "valueFrom" in each}
    assert {each["name"] for each in keys.values()} == {"lake"}
    assert all(name.startswith("AWS_") and name == each["key"] for name, each in keys.items())
    assert [name for name, each in keys.items() if not each["optional"]] == [
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
    ]  # fmt: skip


def test_a_registrys_login_is_the_downloads_alone() -> None:
    access = Access("http://mlflow:5000", None, "mlflow", "authorities")
    model = ResolvedModel("mlflow-artifacts:/1/model", version="7", access=access)
    body = made(taken=RunModel(model, USED))
    assert variables(body, "download")["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    for name in ("compile", "score"):
        assert "mlflow" not in json.dumps({**container(body, name), "args": [], "env": [
            each for each in container(body, name)["env"] if each["name"] != "MODELWARD_BATCH"
        ]})  # fmt: skip


def test_claims_are_mounted_and_rows_can_only_be_read() -> None:
    body = made(batch(input={"uri": "pvc://lake/churn/today.parquet"}, output={"uri": "pvc://scored/churn/"}))
    assert asked(body)["input"]["uri"] == "file:///input/churn/today.parquet"
    assert asked(body)["output"]["uri"] == "file:///output/churn/"
    mounts = {each["mountPath"]: each for each in container(body, "score")["volumeMounts"]}
    assert mounts["/input"]["readOnly"] is True
    assert "readOnly" not in mounts["/output"]
    assert pod_of(body)["securityContext"]["fsGroup"] == 65531
    for name in ("download", "compile"):
        assert not {"/input", "/output"} & {each["mountPath"] for each in container(body, name)["volumeMounts"]}


def test_one_claim_for_all_is_one_volume() -> None:
    taken = RunModel(Model("pvc://lake/models/churn.onnx"), USED)
    body = made(batch(input={"uri": "pvc://lake/in/"}, output={"uri": "pvc://lake/out/"}), taken)
    claims = [each for each in pod_of(body)["volumes"] if "persistentVolumeClaim" in each]
    assert len(claims) == 1
    mounts = {each["mountPath"]: each for each in container(body, "score")["volumeMounts"]}
    assert mounts["/input"]["readOnly"] is True
    assert mounts["/input"]["name"] == mounts["/output"]["name"]


def test_pods_are_confined_and_have_no_token() -> None:
    pod = pod_of(made(batch(serviceAccountName="cloud")))
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert pod["serviceAccountName"] == "cloud"
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for each in (*pod["initContainers"], *pod["containers"]):
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    annotations = made()["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"eks.amazonaws.com/skip-containers": "compile"}


def test_a_template_is_merged_and_its_image_loads_the_model_too() -> None:
    template = {
        "metadata": {"labels": {"team": "risk"}},
        "spec": {
            "nodeSelector": {"pool": "batch"},
            "containers": [{"name": "score", "image": "own:1", "env": [{"name": "OMP_NUM_THREADS", "value": "2"}]}],
            "initContainers": [
                {"name": "download", "resources": {"limits": {"memory": "5Gi"}}},
                {"name": "mesh", "image": "mesh:1", "restartPolicy": "Always"},
            ],
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
            ],
        },
    }  # fmt: skip
    body = made(batch(model={"uri": "s3://models/churn.onnx"}, template=template), OWN)
    pod = pod_of(body)
    assert pod["nodeSelector"] == {"pool": "batch"}
    assert body["spec"]["template"]["metadata"]["labels"]["team"] == "risk"
    assert [each["name"] for each in pod["initContainers"]] == ["mesh", "download", "compile"]
    images = {name: container(body, name)["image"] for name in ("download", "compile", "score")}
    assert images == {"download": "inference:1", "compile": "own:1", "score": "own:1"}
    assert variables(body)["OMP_NUM_THREADS"] == "2"
    assert container(body, "download")["resources"]["limits"] == {"memory": "5Gi"}
    (spread,) = pod["topologySpreadConstraints"]
    assert spread["labelSelector"] == {"matchLabels": {"modelward.io/run": RUN.name}}
    skipped = body["spec"]["template"]["metadata"]["annotations"]["eks.amazonaws.com/skip-containers"]
    assert skipped == "compile,mesh"


def test_the_image_of_a_modeldeployments_template_goes_with_its_model() -> None:
    body = made(taken=replace(TAKEN, image={"image": "own:1"}))
    images = {name: container(body, name)["image"] for name in ("download", "compile", "score")}
    assert images == {"download": "inference:1", "compile": "own:1", "score": "own:1"}


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        ({"https_proxy": "http://proxy:3128"}, "HTTPS_PROXY", "http://proxy:3128"),
        ({"no_proxy": ".svc"}, "NO_PROXY", ".svc"),
        ({"ca_config_map": "authorities"}, "CA_BUNDLE", "/etc/modelward/ca/ca.crt"),
        ({"node_credentials": True}, "AWS_EC2_METADATA_DISABLED", "false"),
        ({}, "AWS_EC2_METADATA_DISABLED", "true"),
    ],
)
def test_what_the_installation_decides(settings: dict[str, Any], name: str, value: str) -> None:
    body = made(platform=replace(PLATFORM, **settings))
    assert variables(body)[name] == value
    if name == "CA_BUNDLE":
        assert "/etc/modelward/ca" in {each["mountPath"] for each in container(body, "score")["volumeMounts"]}


TABLE = {"url": "postgres://db.example.com/crm", "name": "customers", "credentialsSecret": {"name": "crm"}}
READING = replace(PLATFORM, evaluate_image="evaluate:1", ca_config_map="authorities")


def test_a_table_is_read_by_a_step_that_has_its_login_and_nothing_of_the_store() -> None:
    given = batch(input={"table": TABLE}, credentialsSecret={"name": "lake"})
    body = made(given, platform=READING)
    assert [each["name"] for each in pod_of(body)["initContainers"]] == ["download", "compile", "table"]
    reader, scorer = container(body, "table"), container(body, "score")
    assert reader["image"] == "evaluate:1"
    assert reader["command"] == ["/opt/venv/bin/python3", "-m", "modelward_evaluate.extract"]
    secrets = {each["name"]: each["valueFrom"]["secretKeyRef"]["name"] for each in reader["env"] if "valueFrom" in each}
    assert secrets == {"INPUT_TABLE_USER": "crm", "INPUT_TABLE_PASSWORD": "crm"}
    assert not any("TABLE_" in each["name"] and "valueFrom" in each for each in scorer["env"])
    assert {each["valueFrom"]["secretKeyRef"]["name"] for each in scorer["env"] if "valueFrom" in each} == {"lake"}
    source = {"table": {"url": TABLE["url"], "name": "customers"}}
    assert asked(body)["input"] == source
    assert json.loads(variables(body, "table")["MODELWARD_BATCH"])["input"] == source
    assert variables(body, "table")["CA_BUNDLE"] == "/etc/modelward/ca/ca.crt"
    skipped = body["spec"]["template"]["metadata"]["annotations"]["eks.amazonaws.com/skip-containers"]
    assert skipped == "compile,table", "the identity of the account is for what reads the store"


def test_a_tables_rows_and_the_bundle_are_read_alone_by_who_does_not_write_them() -> None:
    body = made(batch(input={"table": TABLE | {"schema": "sales"}}), platform=READING)
    assert asked(body)["input"]["table"]["schema"] == "sales"
    mounts = {
        name: {each["name"]: each.get("readOnly", False) for each in container(body, name)["volumeMounts"]}
        for name in ("table", "score")
    }
    assert (mounts["table"]["bundle"], mounts["table"]["modelward-table"]) == (True, False)
    assert mounts["score"]["modelward-table"] is True
    volumes = {each["name"] for each in pod_of(body)["volumes"]}
    for name in ("table", "score"):
        assert volumes >= mounts[name].keys()
    guards = container(made(), "score")["securityContext"]
    assert container(body, "table")["securityContext"] == guards
    assert "table" not in [each["name"] for each in pod_of(made(platform=READING))["initContainers"]]
