"""What a dry run is told would roll out is what names revisions and router's pods, and no part of it is forgotten."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from libyaml import documents
from manifests import pin
from modelward.api.asked import asked_of
from modelward.api.modeldeployment import Model
from modelward.routing.envoy.objects import intent_of

COMPARED = re.compile(r"\(object\.spec\.(\S+) != oldObject\.spec\.(\S+) \? \['spec\.(\S+)'\] : \[\]\)")


class Part(dict[str, Any]):
    """Any part of spec, of which nothing was written."""

    requests = limits = {}  # noqa: RUF012  nobody writes to them
    secret_name = ""


class Read:
    """Stands for a part of spec, and remembers what of it was read, as YAML names it."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Part:
        first, *rest = name.split("_")
        self.names.add(first + "".join(map(str.capitalize, rest)))
        return Part()


def named_by_revisions(read: Any) -> None:
    asked_of(read, Model("s3://m/a"))
    read.names.add("model")  # given beside spec, since a variant has another one


def named_by_the_router(read: Any) -> None:
    owner: Any = SimpleNamespace(spec=SimpleNamespace(router=read))
    intent_of(owner)


@pytest.mark.parametrize(
    ("variable", "below", "reads"),
    [("changed", "", named_by_revisions), ("router", "router.", named_by_the_router)],
)
def test_it_compares_all_that_names_pods(variable: str, below: str, reads: Callable[[Any], None]) -> None:
    objects = documents((pin.ROOT / "manifests/base/admission.yaml").read_text())
    (policy,) = (
        each for each in objects
        if each["kind"] == "ValidatingAdmissionPolicy" and each["metadata"]["name"] == "modelward-dry-run"
    )  # fmt: skip
    (expression,) = (each["expression"] for each in policy["spec"]["variables"] if each["name"] == variable)
    found = COMPARED.findall(expression)
    assert all(one.replace("?", "") == other.replace("?", "") == told for one, other, told in found)
    read = Read()
    reads(read)
    assert {told for *_, told in found} == {f"{below}{name}" for name in read.names}
    assert len(found) == expression.count("!=")
