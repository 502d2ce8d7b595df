"""Which formats a model's pods may load."""

import pytest

from modelward.models import consent

PIN = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("onnx skops", ("onnx", "skops")),
        ("joblib", ("sklearn",)),
        ("pickle,onnx", ("onnx", "sklearn")),
        ("sklearn.torchscript", ("sklearn", "torchscript")),
        ("", ()),
    ],
)
def test_words(text: str, formats: tuple[str, ...]) -> None:
    assert consent.parse(text) == formats


def test_a_slip_of_the_pen_is_told() -> None:
    with pytest.raises(consent.UnknownFormatError, match="sklaern: no such format; they are onnx, skops"):
        consent.parse("onnx sklaern")


@pytest.mark.parametrize(("value", "formats"), [(None, ()), ("sklaern", ()), ("sklaern.torchscript", ("torchscript",))])
def test_a_label_that_can_not_be_read_allows_nothing(value: str | None, formats: tuple[str, ...]) -> None:
    assert consent.of_label(value) == formats


def test_by_default_nothing_that_runs_code() -> None:
    assert consent.allowed("s3://b/m.tar", "auto", None, consent.SAFE) == consent.SAFE


@pytest.mark.parametrize("uri", ["s3://b/m.joblib", "https://h/m.pt?version=3", "s3://b/m.tar", "pvc://c/model"])
def test_whoever_pins_the_bytes_vouches_for_them(uri: str) -> None:
    assert consent.allowed(uri, "auto", PIN, consent.SAFE) == consent.FORMATS


@pytest.mark.parametrize(("uri", "declared"), [("s3://b/m.ONNX", "auto"), ("s3://b/m", "skops")])
def test_what_can_be_no_program_is_never_allowed_to_be_one(uri: str, declared: str) -> None:
    assert consent.allowed(uri, declared, PIN, consent.FORMATS) == consent.SAFE


def test_an_end_of_a_name_that_spec_overrules_promises_nothing() -> None:
    assert "sklearn" in consent.allowed("s3://b/m.onnx", "sklearn", PIN, consent.SAFE)


def test_an_installation_may_allow_less() -> None:
    assert consent.allowed("s3://b/m", "auto", None, ("onnx",)) == ("onnx",)
