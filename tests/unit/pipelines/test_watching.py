"""Drift and quality as a pipeline reads them."""

import pytest

from modelward_cli.kubectl import NotFoundError
from modelward_cli.pipeline import watching

from .apiserver import ApiServer
from .models import model, policy


@pytest.mark.parametrize("name", ["fraud", "watch"])
def test_drift_is_read_with_its_numbers(server: ApiServer, name: str) -> None:
    server.holds("modeldeployments", model())
    server.holds("driftpolicies", policy(drifted=True))
    found = watching.drift(server.cluster(), name)
    assert found.bad == ("fraud drifts, by the policy watch: amount: psi 0.31 reaches 0.2",)
    assert (found.known, found.found[0]["features"][0]["value"]) == (True, "0.31")


def test_where_nothing_drifts_nothing_is_bad(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    server.holds("driftpolicies", policy())
    assert (watching.drift(server.cluster(), "fraud").bad, watching.quality(server.cluster(), "fraud").bad) == ((), ())


def test_what_nobody_watches_is_not_known(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    drift, quality = watching.drift(server.cluster(), "fraud"), watching.quality(server.cluster(), "fraud")
    assert (drift.known, quality.known, drift.bad, quality.found) == (False, False, (), ())
    assert "Nobody watches fraud" in drift.notes[0]


def test_quality_is_read_with_its_interval(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    server.holds("driftpolicies", policy(worse=True))
    found = watching.quality(server.cluster(), "fraud")
    assert found.bad == ("fraud: f1 is 0.70, below 0.75",)
    assert found.found[0]["metrics"][0]["low"] == "0.68"


def test_a_name_that_is_not_there_is_told(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    with pytest.raises(NotFoundError, match="did you mean fraud"):
        watching.drift(server.cluster(), "froud")
