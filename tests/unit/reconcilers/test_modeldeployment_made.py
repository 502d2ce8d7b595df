"""What pods are made of where nobody knows what spec.model is: what the record says that it was."""

from dataclasses import replace

from builders import observed, owner, revision, router
from modelward.api.asked import asked_of
from modelward.models.resolved import Access, ResolvedModel
from modelward.platform import Platform
from modelward.reconcilers.modeldeployment.made import Made

PLATFORM = Platform(server_image="inference:2", router_image="envoy:1")
ACCESS = Access("http://mlflow.ml.svc:5000", "risk", "login", "mlflow-ca")
RESOLVED = ResolvedModel(
    "mlflow-artifacts:/1/models/m-3/artifacts", version="3", access=ACCESS, lineage={"commit": "abc", "run": "r"}
)


def test_what_a_registry_said_is_made_anew_from_the_record_alone() -> None:
    resolved = owner(model=RESOLVED)
    asked = asked_of(resolved.spec, RESOLVED)
    facts = replace(revision("fraud-a"), asked=asked)
    seen = replace(observed("fraud-a", facts, router=router("fraud-a")), unresolved=True)
    unresolved = owner(model=replace(resolved.spec.model, uri="models:/fraud@champion"))
    made = Made.of(unresolved, seen, PLATFORM)
    known = Made.of(resolved, replace(seen, unresolved=False), PLATFORM)
    assert made.shapes["fraud-a"] == known.shapes["fraud-a"]
    assert made.asked["fraud-a"] == asked
    assert made.shapes["fraud-a"].model.lineage == {"commit": "abc", "run": "r"}


def test_a_record_of_an_earlier_operator_keeps_its_pods() -> None:
    seen = replace(observed("fraud-a", revision("fraud-a"), router=router("fraud-a")), unresolved=True)
    assert "fraud-a" not in Made.of(owner(), seen, PLATFORM).shapes
