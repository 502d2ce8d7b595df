"""What a cache adds to pods, and to which of their containers."""

from dataclasses import replace
from typing import Any

from builders import PLATFORM, owner
from modelward.api.modeldeployment import Model, Monitor, SharedCache
from modelward.revisions import deployment as revision
from modelward.revisions.pods import cache_mounts
from modelward.runtimes.runtime import MODELWARD
from modelward_inference.fetch.bundles import Bundles
from modelward_inference.fetch.cache import Cache

CACHED = Model("s3://models/a.joblib", optimise="Off", cache=SharedCache("shared", "1Gi"))
USABLE = replace(PLATFORM, caches=("shared",))
STEPS = ("download", "keep-bundle")


def template(model: Model = CACHED, platform: Any = USABLE, **spec: Any) -> dict[str, Any]:
    return dict(revision.shape(owner(model=model, **spec), platform, "fraud-1").template)


def containers(**spec: Any) -> dict[str, dict[str, Any]]:
    pod = template(**spec)["spec"]
    return {each["name"]: each for each in (*pod["initContainers"], *pod["containers"])}


def given(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container["env"]}


def test_pods_without_a_usable_claim_are_what_they_are_without_a_cache() -> None:
    plain = replace(CACHED, cache=None)
    for platform in (PLATFORM, replace(PLATFORM, caches=("another",))):
        assert template(platform=platform) == template(plain, platform)
    assert template(plain, USABLE) == template(plain, PLATFORM)
    assert template() != template(plain)


def test_what_loads_a_model_sees_neither_the_claim_nor_the_key() -> None:
    found = containers(monitor=Monitor())
    seen = {name: {each["name"] for each in one["volumeMounts"]} for name, one in found.items()}
    assert {name for name, mounts in seen.items() if mounts & {"cache", "cache-key"}} == set(STEPS)
    assert {name for name, one in found.items() if any("CACHE" in each for each in given(one))} == set(STEPS)
    order = [each["name"] for each in template()["spec"]["initContainers"]]
    assert order == ["download", "compile", "keep-bundle"]
    assert set(found) == {*STEPS, "compile", "monitor", "server"}


def test_the_step_that_keeps_loads_nothing_and_writes_nowhere_else() -> None:
    keep = containers()["keep-bundle"]
    assert keep["args"] == ["keep-bundle"]
    writable = {each["name"] for each in keep["volumeMounts"] if not each.get("readOnly")}
    assert writable == {"cache", "tmp-keep-bundle"}
    assert "envFrom" not in keep
    assert "MODEL_URI" not in given(keep)
    skipped = template()["metadata"]["annotations"]["eks.amazonaws.com/skip-containers"].split(",")
    assert "keep-bundle" in skipped


def test_the_image_reads_what_the_operator_says() -> None:
    found = containers()
    for name in STEPS:
        told = given(found[name])
        shared = Cache.from_environment({**told, "POD_UID": "p"})
        assert shared is not None
        assert (shared.most, shared.owner) == (1 << 30, "p")
        assert str(shared.root).startswith("/cache/"), "never the claim's own folder, where other things may lie"
        assert told["MODELWARD_CACHE_SCOPE"] == "uid-1/fraud-1"
        assert told["MODEL_OPTIMISE"] == given(found["compile"])["MODEL_OPTIMISE"] == "Off"
        assert told["MODEL_NAME"] == given(found["compile"])["MODEL_NAME"]
        assert {"name": "POD_UID", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}} in [
            each for each in found[name]["env"] if each["name"] == "POD_UID"
        ]
    assert "MODELWARD_CACHE_BYTES" not in given(
        containers(model=replace(CACHED, cache=SharedCache("shared")))["download"]
    )
    (key,) = [each["secret"] for each in template()["spec"]["volumes"] if each["name"] == "cache-key"]
    assert (key["secretName"], key["optional"]) == (cache_mounts.KEY_NAME, True), "no pod waits for a key"


def test_the_image_takes_the_key_that_the_operator_makes(tmp_path: Any) -> None:
    import base64

    from modelward.reconcilers.modeldeployment.caches import _secret

    made: Any = _secret("ml")
    (tmp_path / "key").write_bytes(base64.b64decode(made["data"]["key"]))
    found = Bundles.from_environment({"MODELWARD_CACHE_DIR": "/x", "MODELWARD_CACHE_KEY": str(tmp_path / "key")})
    assert found is not None
    assert len(found.secret) >= 48


def test_the_group_is_of_the_claims_folder_alone() -> None:
    assert template()["spec"]["securityContext"]["fsGroup"] == cache_mounts.GROUP
    assert "fsGroup" not in template(replace(CACHED, cache=None))["spec"]["securityContext"]
    users = {each.get("securityContext", {}).get("runAsUser") for each in containers().values()}
    assert cache_mounts.GROUP not in users


def test_another_cache_is_another_revision() -> None:
    """As every change of what a user wrote of the pods is."""
    named = {revision.name_of(owner(model=replace(CACHED, cache=each))) for each in (None, SharedCache("a"))}
    assert len(named) == 2
    assert MODELWARD.containers.keep == "keep-bundle"
