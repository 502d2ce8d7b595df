"""Whatever a registry says, and whenever an operator starts anew, what was resolved last is followed."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from modelward.api.modelregistry import Mlflow, ModelRegistry, Spec
from modelward.models.following import NoRegistry, Said, Trouble, following_of
from modelward.models.resolved import Resolved, show

ALIAS = "models:/fraud@champion"
REGISTRY = ModelRegistry("ml", "mlflow", "uid", 1, Spec(mlflow=Mlflow("http://mlflow:5000")))
MOVED_AWAY = replace(REGISTRY, spec=Spec(mlflow=Mlflow("http://elsewhere:5000")))
DOWN = Trouble("Unreachable", "it is down")

ANSWERS = st.integers(1, 3).map(lambda number: ("answers", number))
EVENTS = st.lists(
    st.one_of(ANSWERS, st.sampled_from([("down", 0), ("starts anew", 0), ("no registry", 0), ("moves away", 0)])),
    max_size=12,
)


@given(EVENTS)
def test_the_last_answer_is_followed_and_since_it_was_first_heard(events: list[tuple[str, int]]) -> None:
    status: dict[str, object] = {}
    said: Said | None = None
    last: tuple[int, float] | None = None
    for now, (event, number) in enumerate(events, 1):
        registry: ModelRegistry | NoRegistry = REGISTRY
        match event:
            case "answers":
                said = Said(REGISTRY.address, Resolved(f"s3://models/{number}", str(number), "champion"))
                last = last if last is not None and last[0] == number else (number, float(now))
            case "down":
                said = Said(REGISTRY.address, said.resolved if said else None, DOWN)
            case "starts anew":
                said = None
            case "no registry":
                registry = NoRegistry("RegistryMissing", "there is none")
            case "moves away":
                registry = MOVED_AWAY
        heard = said if registry is REGISTRY else None
        found = following_of(ALIAS, status, registry, heard, float(now))
        assert (found.resolution is None) is (last is None)
        if found.resolution is not None and last is not None:
            assert (found.resolution.resolved.version, found.resolution.since) == (str(last[0]), last[1])
            assert found.usable is (registry is REGISTRY), "pods are made of what the registry there has said"
            status = json.loads(json.dumps({"model": {"reference": show(found.resolution)}}))
        else:
            assert not found.usable
