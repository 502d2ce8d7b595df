"""The API server hangs, ends or forgets who leads: nobody writes without the lease, and the work goes on afterwards."""

import asyncio
import json

from modelward.kube.client import NotLeaderError
from modelward.reconcilers.loop import LeaseLostError
from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import LEASE, KilledError, operator, until

PATIENCE = 60.0
"""Seconds for what has to wait for the end of a lease and the start of an API server on a busy machine."""


def causes(error: BaseException | None) -> list[BaseException]:
    """The errors that a group of them is made of."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in causes(part)]
    return [] if error is None else [error]


async def test_cut_off_from_the_api_server_it_ends_and_the_next_goes_on(cluster: Cluster, model: Model) -> None:
    async with operator(cluster, may_end=True) as first:
        model.apply(version=1)
        await until(model.is_ready, "the first version")
        model.apply(version=2)
        cluster.server.pause()
        try:
            await until(first.task.done, "the operator's end", PATIENCE)
        finally:
            cluster.server.resume()
        assert any(isinstance(each, LeaseLostError | NotLeaderError) for each in causes(first.task.exception()))
        assert not first.lease.is_held()
    async with operator(cluster, identity="next"):
        await until(model.is_second, "the second version alone", PATIENCE)


async def test_a_short_stop_of_the_api_server_is_sat_out(cluster: Cluster, model: Model) -> None:
    async with operator(cluster) as one:
        model.apply(version=1)
        await until(model.is_ready, "the first version")
        cluster.server.pause()
        await asyncio.sleep(LEASE.renew_every * 2)  # the fault itself: long enough for renewals to hang
        cluster.server.resume()
        model.apply(version=2)
        await until(model.is_second, "the second version alone", PATIENCE)
        assert not one.task.done()


async def test_an_api_server_that_was_started_anew_is_found_again(cluster: Cluster, model: Model) -> None:
    """As Kubernetes would, a new operator is started where the first has ended with its lease."""
    async with operator(cluster, may_end=True) as first:
        model.apply(version=1)
        await until(model.is_ready, "the first version")
        model.apply(version=2)
        await asyncio.to_thread(cluster.server.stop)
        await asyncio.to_thread(cluster.server.start)
        await until(lambda: first.task.done() or model.is_second(), "the end of the operator or of its work", PATIENCE)
    async with operator(cluster, identity="next"):
        await until(model.is_second, "the second version alone", PATIENCE)


async def test_who_stands_by_takes_over_from_a_killed_leader_and_never_before(cluster: Cluster, model: Model) -> None:
    async with operator(cluster, identity="leader", may_end=True) as leader:
        await until(leader.lease.is_held, "the lease")
        async with operator(cluster, identity="standby") as standby:
            model.apply(version=1)
            await until(model.is_ready, "the first version")
            assert leader.lease.is_held()
            assert standby.api.writes == 0
            leader.api.dead = True  # no request of it, and so no release of the lease, from now on
            model.apply(version=2)
            await until(standby.lease.is_held, "the lease's end", PATIENCE)
            assert not leader.lease.is_held()
            await until(model.is_second, "the second version alone", PATIENCE)
        assert any(isinstance(each, KilledError) for each in causes(leader.task.exception()))


async def test_a_status_that_was_wiped_is_written_anew_from_what_there_is(cluster: Cluster, model: Model) -> None:
    """As after a restore from a backup: the router's configuration tells which revision is stable."""
    async with operator(cluster):
        model.apply(version=1)
        await until(model.is_ready, "the first version")
        before = model.stable()
        patch = json.dumps({"status": None})
        cluster.kubectl(
            "patch", "md", "fraud", "-n", model.namespace, "--subresource=status", "--type=merge", "-p", patch
        )
        await until(model.is_ready, "ready again")
        assert model.stable() == before
        assert len(model.revisions()) == 1
