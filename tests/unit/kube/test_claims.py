"""When an installation may write to a namespace. A shelf of Leases is the API server (tests/api has a real one)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelward.api.names import ANNOTATION_SETTLED, LABEL_CLAIM
from modelward.kube.claims import FRESH, HANDOVER, LOOK_EVERY, NAME, NAME_OF_ALL, Claims
from modelward.kube.client import WRITE_TIMEOUT, ApiError, ApiUnreachableError
from modelward.kube.resources import Resource

Json = dict[str, Any]


class Leases:
    """Creates, gets and lists. `closed`: namespaces in which nothing is allowed; `gone`: no answer to anybody."""

    def __init__(self) -> None:
        self.there: dict[tuple[str, str], Json] = {}
        self.closed: set[str] = set()
        self.gone = False
        self.made = 0

    def put(
        self, namespace: str, name: str, holder: str, labels: Json | None = None, settled: str | None = None
    ) -> None:
        """`settled`: by whom; None: by the holder, as one that is long there."""
        self.made += 1
        labels = {LABEL_CLAIM: "x"} if labels is None else labels
        created = f"2026-11-29T10:00:{self.made:02}Z"
        annotations = {ANNOTATION_SETTLED: holder if settled is None else settled}
        metadata = {"name": name, "namespace": namespace, "uid": f"u{self.made}", "labels": labels}
        metadata["annotations"] = annotations
        body = {"metadata": {**metadata, "creationTimestamp": created}, "spec": {"holderIdentity": holder}}
        self.there[namespace, name] = body

    async def get(self, _: Resource, namespace: str, name: str) -> Json | None:
        self._answer(namespace)
        return self.there.get((namespace, name))

    async def pages(self, _: Resource) -> AsyncIterator[list[Json]]:
        self._answer("")
        yield [each for each in self.there.values() if LABEL_CLAIM in each["metadata"]["labels"]]

    async def request(self, method: str, _: Resource, path: str, body: Json, **_more: str) -> Json:
        if method == "PATCH":
            *_rest, namespace, _kind, name = path.split("/")
            self._answer(namespace)
            found = self.there[namespace, name]
            annotations = {**found["metadata"].get("annotations", {}), **body["metadata"]["annotations"]}
            self.there[namespace, name] = {**found, "metadata": {**found["metadata"], "annotations": annotations}}
            return found
        assert (method, path.split("/")[-1]) == ("POST", "leases")
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        self._answer(namespace)
        if (namespace, name) in self.there:
            raise ApiError(409, "AlreadyExists", "exists")
        self.put(namespace, name, body["spec"]["holderIdentity"], body["metadata"]["labels"], settled="")
        return self.there[namespace, name]

    def _answer(self, namespace: str) -> None:
        if self.gone:
            raise ApiUnreachableError("no answer")
        if namespace in self.closed:
            raise ApiError(403, "Forbidden", "no right")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def claims(leases: Leases, clock: Clock, installation: str, *namespaces: str) -> Claims:
    return Claims(leases, installation, namespaces or None, clock)  # type: ignore[arg-type]


async def test_nothing_is_written_before_the_first_look(leases: Leases, clock: Clock) -> None:
    assert not claims(leases, clock, "a", "ml").may_write("ml")
    assert not claims(leases, clock, "a").may_write("ml")


async def test_a_new_claim_waits_for_the_last_write_of_whoever_had_it(leases: Leases, clock: Clock) -> None:
    one = claims(leases, clock, "a", "ml")
    assert await one.look(("ml",))
    assert not one.may_write("ml")
    assert one.wait("ml") == HANDOVER
    assert HANDOVER > FRESH + WRITE_TIMEOUT
    clock.now += HANDOVER
    assert not await one.look(("ml",))
    assert one.may_write("ml")


async def test_a_claim_of_ones_own_that_is_there_waits_for_nothing(leases: Leases, clock: Clock) -> None:
    """A restart, or the other replica."""
    leases.put("ml", NAME, "a")
    one = claims(leases, clock, "a", "ml")
    await one.look(("ml",))
    assert one.may_write("ml")


async def test_the_fence_falls_where_claims_are_not_read_any_more(leases: Leases, clock: Clock) -> None:
    leases.put("ml", NAME, "a")
    one = claims(leases, clock, "a", "ml")
    await one.look(("ml",))
    leases.gone = True
    clock.now += LOOK_EVERY
    with pytest.raises(ApiUnreachableError):
        await one.look(("ml",))
    assert one.may_write("ml")
    clock.now += FRESH - LOOK_EVERY
    assert not one.may_write("ml")
    assert one.refusal("ml") is None


async def test_a_namespace_without_rights_holds_up_no_other(leases: Leases, clock: Clock) -> None:
    leases.put("ml", NAME, "a")
    leases.closed.add("closed")
    one = claims(leases, clock, "a", "ml", "closed")
    await one.look(("ml", "closed"))
    assert one.may_write("ml")
    assert not one.may_write("closed")


async def test_two_never_write_to_one_namespace_while_it_is_handed_over(leases: Leases, clock: Clock) -> None:
    """Whatever the second of the deletion: the first writes on what it read, and a write takes its time."""
    leases.put("ml", NAME, "a")
    first, second = claims(leases, clock, "a", "ml"), claims(leases, clock, "b", "ml")
    for one in (first, second):
        await one.look(("ml",))
    assert (first.may_write("ml"), second.may_write("ml")) == (True, False)
    del leases.there["ml", NAME]
    assert await second.look(("ml",))
    assert first.may_write("ml")  # it has not looked again
    last = float("-inf")
    for _ in range(100):
        if first.may_write("ml"):
            last = clock.now
        if second.may_write("ml"):
            break
        clock.now += 1.0
        await second.look(("ml",))
    assert clock.now - last > WRITE_TIMEOUT
    await first.look(("ml",))
    assert not first.may_write("ml")


async def test_one_for_all_takes_what_nobody_has_by_name(leases: Leases, clock: Clock) -> None:
    leases.put("ml", NAME, "a")
    wide = claims(leases, clock, "w")
    await wide.look(None)
    assert ("w", NAME_OF_ALL) in leases.there
    assert not wide.may_write("other")  # the other installation may have had that a moment ago
    clock.now += HANDOVER
    await wide.look(None)
    assert (wide.may_write("ml"), wide.may_write("other")) == (False, True)
    leases.put("other", NAME, "b")
    assert await wide.look(None)
    assert not wide.may_write("other")
    del leases.there["other", NAME]
    await wide.look(None)
    assert wide.wait("other") == HANDOVER
    assert wide.wait("more") == 0.0


async def test_one_for_all_alone_begins_at_once(leases: Leases, clock: Clock) -> None:
    wide = claims(leases, clock, "w")
    await wide.look(None)
    assert wide.may_write("ml")


@pytest.mark.parametrize("later", ["w", "y"])
async def test_of_two_for_all_the_older_goes_on(leases: Leases, clock: Clock, later: str) -> None:
    older, younger = claims(leases, clock, "x"), claims(leases, clock, later)
    for one in (older, younger, older):
        await one.look(None)
    assert (older.may_write("ml"), younger.may_write("ml")) == (True, False)
    del leases.there["x", NAME_OF_ALL]
    await younger.look(None)
    assert 0 < younger.wait("ml") <= HANDOVER
    await older.look(None)
    assert not older.may_write("ml")


async def test_a_lease_without_the_label_is_nobodys_claim(leases: Leases, clock: Clock) -> None:
    """One for all namespaces would not find it, and both would write."""
    leases.put("ml", NAME, "a", labels={})
    one = claims(leases, clock, "a", "ml")
    await one.look(("ml",))
    assert not one.may_write("ml")
    assert "delete its claim" in (one.refusal("ml") or "")


async def test_who_is_slower_to_claim_sees_the_others(leases: Leases, clock: Clock) -> None:
    class Race(Leases):
        async def get(self, resource: Resource, namespace: str, name: str) -> Json | None:
            found = await super().get(resource, namespace, name)
            if found is None:
                self.put(namespace, name, "b")
            return found

    racing = Race()
    one = claims(racing, clock, "a", "ml")
    await one.look(("ml",))
    assert "namespace b has claimed it" in (one.refusal("ml") or "")


async def test_the_next_leader_waits_where_the_last_one_had_not_waited_to_the_end(leases: Leases, clock: Clock) -> None:
    await claims(leases, clock, "a", "ml").look(("ml",))
    clock.now += 1.0
    following = claims(leases, clock, "a", "ml")
    await following.look(("ml",))
    assert following.wait("ml") == HANDOVER
    clock.now += HANDOVER
    await following.look(("ml",))
    assert following.may_write("ml")
    third = claims(leases, clock, "a", "ml")
    await third.look(("ml",))
    assert third.may_write("ml")


async def test_one_for_all_that_claimed_beside_others_waits_as_well(leases: Leases, clock: Clock) -> None:
    leases.put("ml", NAME, "a")
    for _ in range(2):
        wide = claims(leases, clock, "w")
        await wide.look(None)
        assert wide.wait("other") == HANDOVER


async def test_a_claim_whose_holder_somebody_changed_is_newly_the_others(leases: Leases, clock: Clock) -> None:
    leases.put("ml", NAME, "b", settled="a")
    one = claims(leases, clock, "b", "ml")
    await one.look(("ml",))
    assert one.wait("ml") == HANDOVER


async def test_a_claim_that_may_not_be_changed_is_waited_for_each_time(leases: Leases, clock: Clock) -> None:
    class Poor(Leases):
        async def request(self, method: str, resource: Resource, path: str, **more: Any) -> Json:
            if method == "PATCH":
                raise ApiError(403, "Forbidden", "no right")
            return await super().request(method, resource, path, **more)

    poor = Poor()
    one = claims(poor, clock, "a", "ml")
    await one.look(("ml",))
    clock.now += HANDOVER
    await one.look(("ml",))
    assert one.may_write("ml")


async def test_what_others_have_claimed_is_told_as_left_alone_until_it_is_not(leases: Leases, clock: Clock) -> None:
    leases.put("ml", NAME, "b")
    one = claims(leases, clock, "a", "ml", "web")
    await one.look(("ml", "web"))
    one.tell({"ml", "web"})
    assert one.left_alone == {"ml"}
    leases.put("ml", NAME, "a")
    await one.look(("ml", "web"))
    one.tell({"ml", "web"})
    assert one.left_alone == frozenset()
