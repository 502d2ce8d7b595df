"""What is said of a cache, by its claim and by the reports of pods."""

import json
from typing import Any

import pytest

from builders import container, observed, owner, pod, revision
from modelward.api.modeldeployment import Model, SharedCache, Variant
from modelward.revisions.health import cache_claims
from modelward_inference.fetch import cache, report


def ended(step: str, told: Any, code: int = 0) -> Any:
    return container(step, exit_code=code, exit_message=told if isinstance(told, str) else json.dumps(told))


def said(reason: str, message: str = "the cache can't be written: [Errno 28]") -> dict[str, Any]:
    return {"reason": "NotKept", "cache": {"reason": reason, "message": message}}


WORDS = [cache.FULL, cache.READ_ONLY, cache.NOT_WRITABLE, cache.FAILED, cache.KEY_MISSING]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("step", ["download", "keep-bundle"])
def test_every_word_of_the_image_has_its_cause_and_cure(word: str, step: str) -> None:
    trouble = report.of_keeping({"reason": word, "message": "why"}, held=False)
    found = cache_claims.told("shared", (pod(containers=(ended(step, trouble),)),))
    assert found is not None
    assert found.reason == word
    assert "It said: why" in found.message
    told = cache_claims.condition("shared", found)
    assert told is not None
    assert (told.type, told.status, told.reason) == ("CacheUsable", False, word)


UNTRUE: dict[str, Any] = {
    "none": {"reason": "Kept"},
    "an unknown word": said("Ready"),
    "no text": {"cache": {"reason": ["CacheFull"], "message": "m"}},
    "no object": {"cache": "CacheFull"},
    "no JSON": "{",
    "of what loads the model": None,
}


@pytest.mark.parametrize("case", UNTRUE)
def test_what_is_no_report_says_nothing(case: str) -> None:
    step, told = ("compile", said("CacheFull")) if case == "of what loads the model" else ("keep-bundle", UNTRUE[case])
    assert cache_claims.told("shared", (pod(containers=(ended(step, told),)),)) is None


def test_pods_that_go_and_steps_that_failed_say_nothing() -> None:
    full = ended("keep-bundle", said("CacheFull"))
    assert cache_claims.told("shared", (pod(containers=(full,), terminating=True),)) is None
    assert cache_claims.told("shared", (pod(containers=(ended("download", said("CacheFull"), code=1),)),)) is None


def test_a_pods_words_are_quoted_short_and_plain() -> None:
    found = cache_claims.told("c", (pod(containers=(ended("keep-bundle", said("CacheFull", "x\n\x1b" * 900)),)),))
    assert found is not None
    assert len(found.message) < 600
    assert found.message.isprintable()


def test_the_claims_of_all_arms_and_of_kept_revisions_are_looked_at() -> None:
    def cached(claim: str) -> Model:
        return Model("s3://m/a.onnx", cache=SharedCache(claim))

    asked = owner(model=cached("a"), variants=(Variant("b", cached("b")), Variant("c", Model("s3://m/c.onnx"))))
    from dataclasses import replace

    kept = replace(revision("old"), asked={"model": {"uri": "s3://m/o", "cache": {"claim": "o"}}})
    spoilt = replace(revision("odd"), asked={"model": {"uri": "s3://m/o", "cache": "x"}})
    assert cache_claims.claims_of(asked, observed("a", kept, spoilt)) == ("a", "b", "o")
    assert cache_claims.claims_of(owner(), observed("a", revision("a"))) == ()
