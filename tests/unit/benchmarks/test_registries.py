"""What is measured of registries: bounded by what is followed, and not by how many follow it."""

from benchmarks.registries.__main__ import HERE, Fleet, Followed, counted
from modelward.net.guarded import open_guarded_session
from recorded_mlflow import Recorded


async def test_requests_are_as_many_as_models_and_not_as_modeldeployments() -> None:
    few, many = await counted(Fleet(4, 4), minutes=5.0), await counted(Fleet(100, 4), minutes=5.0)
    for found in (few, many):
        assert 4 * 0.8 <= found.minute <= 4 * 1.2, "one for each model and interval"
        assert found.first <= 4 * 5
        assert found.moved <= 4 * 4
    apart = await counted(Fleet(100, 4, namespaces=2), minutes=5.0)
    assert 8 * 0.8 <= apart.minute <= 8 * 1.2, "each namespace has a ModelRegistry of its own"


async def test_what_is_due_within_a_second_is_one_reconcile() -> None:
    """Each looks at every follower, so that one for each reference would be the square of them."""
    models = {f"m{number}" for number in range(100)}
    async with Recorded(models=models) as mlflow, open_guarded_session(HERE) as session:
        followed = Followed(Fleet(100, 100), mlflow, session, interval="10s")
        await followed.until(1.0)
        before = followed.reconciles
        assert await followed.until(2.0) >= 500
        assert followed.reconciles - before <= 2 * 60 + 2, "one that asks, and one that hears, each second"
