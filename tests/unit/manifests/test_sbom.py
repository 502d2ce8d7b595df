"""The bill of materials says what the lock files pin, with digests, and who licenses it."""

import json
import re
from typing import Any

import pytest

from manifests import sbom

LOCK = "a-b==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:{0} \\\n    --hash=sha256:{1}\n    # via c\n"


@pytest.mark.parametrize("image", sbom.IMAGES)
def test_everything_that_is_pinned_is_listed_with_its_digests(image: str) -> None:
    lock = sbom.IMAGES[image].read_text()
    found = sbom.bill(image, lock)["components"]
    assert len(found) == len(re.findall(r"^[A-Za-z0-9].*==", lock, re.MULTILINE)) > 20
    digests = {each["hashes"][0]["content"] for part in found for each in part["externalReferences"]}
    assert digests == set(re.findall(r"sha256:([0-9a-f]{64})", lock))


@pytest.mark.parametrize("image", sbom.IMAGES)
def test_nothing_is_without_a_licence_that_can_be_known_here(image: str) -> None:
    found = sbom.bill(image, sbom.IMAGES[image].read_text())["components"]
    here = [each for each in found if sbom.licence_of(each) != sbom.UNKNOWN]
    assert len(here) > 0.9 * len(found)
    copyleft = [each["name"] for each in here if re.search(r"\bA?GPL|Affero", sbom.licence_of(each))]
    assert copyleft == []


def test_the_same_content_gives_the_same_document() -> None:
    lock = LOCK.format("0" * 64, "1" * 64)
    first: dict[str, Any] = sbom.bill("operator", lock)
    assert json.dumps(first) == json.dumps(sbom.bill("operator", lock))
    assert first["serialNumber"] != sbom.bill("operator", lock.replace("1.0", "1.1"))["serialNumber"]
    (only,) = first["components"]
    assert (only["purl"], only["properties"][0]["value"]) == ("pkg:pypi/a-b@1.0", "sys_platform == 'linux'")
    assert [each["hashes"][0]["content"][0] for each in only["externalReferences"]] == ["0", "1"]


@pytest.mark.parametrize("lock", ["a==1.0\n    # via b\n", "a>=1.0\n", "git+https://example.com/a\n"])
def test_what_is_not_pinned_is_no_bill(lock: str) -> None:
    with pytest.raises(ValueError, match="make lock"):
        sbom.bill("operator", lock)
