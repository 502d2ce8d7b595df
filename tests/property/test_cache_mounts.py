"""Pods of models without a cache are what they were, whatever claims there are, and so are pods whose claim is none."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders import PLATFORM, owner
from modelward.api.modeldeployment import Model, Monitor, Resources, SecretReference, SharedCache, Signature
from modelward.models.resolved import Access, ResolvedModel
from modelward.revisions import deployment as revision
from modelward.revisions.pods.cache_mounts import claim_in

CLAIMS = st.sampled_from(["a", "b", "c"])
ADDRESSES = st.sampled_from(["s3://m/a.onnx", "pvc://a/m.onnx", "oci://r.example/m:1", "https://h/m.onnx"])
ACCESS = st.builds(Access, secret=st.sampled_from([None, "login"]), region=st.sampled_from([None, "eu-west-1"]))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "uri": ADDRESSES,
    "digest": st.sampled_from([None, "sha256:" + "0" * 64]),
    "optimise": st.sampled_from(["Auto", "Off"]),
    "credentials_secret": st.sampled_from([None, SecretReference("s")]),
    "signature": st.sampled_from([None, Signature("key")]),
}
MODELS = st.one_of(st.builds(Model, **FIELDS), st.builds(ResolvedModel, **FIELDS, version=st.just("3"), access=ACCESS))
SPECS = st.fixed_dictionaries(
    {
        "monitor": st.sampled_from([None, Monitor()]),
        "resources": st.sampled_from([Resources(), Resources(limits={"memory": "1Gi"})]),
        "service_account_name": st.sampled_from([None, "cloud"]),
    }
)


def template(model: Model, spec: dict[str, Any], claims: frozenset[str]) -> Any:
    platform = replace(PLATFORM, caches=tuple(sorted(claims)))
    return revision.shape(owner(model=model, **spec), platform, "fraud-1").template


@given(MODELS, SPECS, st.frozensets(CLAIMS))
def test_without_a_cache_no_claim_changes_a_pod_or_a_name(
    model: Model, spec: dict[str, Any], claims: frozenset[str]
) -> None:
    assert template(model, spec, claims) == template(model, spec, frozenset())
    assert "cache" not in str(template(model, spec, claims)).lower()


@given(MODELS, SPECS, st.frozensets(CLAIMS), CLAIMS, st.sampled_from([None, "1Gi"]))
def test_a_cache_changes_a_pod_where_its_claim_is_usable_and_leaves_what_loads_the_model_as_it_is(
    model: Model, spec: dict[str, Any], claims: frozenset[str], claim: str, size: str | None
) -> None:
    plain = template(model, spec, claims)
    found = template(replace(model, cache=SharedCache(claim, size)), spec, claims)
    assert (found == plain) is (claim not in claims)
    assert claim_in(found) == (claim if claim in claims else None)
    others = [
        each
        for each in (*found["spec"]["initContainers"], *found["spec"]["containers"])
        if each["name"] not in ("download", "keep-bundle")
    ]
    before = [*plain["spec"]["initContainers"], *plain["spec"]["containers"]]
    assert others == [each for each in before if each["name"] != "download"]
