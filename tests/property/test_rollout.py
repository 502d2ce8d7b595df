"""Whatever happens in whatever order: no request is lost to a decision, and every rollout comes to an end."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from builders import MODEL
from modelward.api.rollout import (
    AT_ONCE,
    BLUE_GREEN,
    CANARY,
    PAUSE,
    REPORT,
    SHADOW,
    BlueGreen,
    Disagreement,
    Gates,
    Rollout,
    Shadow,
    Step,
)
from modelward.api.traffic import HeaderMatch
from modelward.facts import PAUSED, Judgement, VariantFacts
from modelward.rollouts.trial import COMMANDS

from .rollout_checks import rest, step
from .rollout_world import BAD, GOOD, UNDECIDED, World

A, B, C = "fraud-a", "fraud-b", "fraud-c"
EVIDENCE = st.sampled_from([GOOD, GOOD, UNDECIDED])
PARTS = st.sampled_from([None] * 5 + list(range(10)))
"""How many of a decision's writes the operator lives to see."""

HOLDS = st.sampled_from(["60s", "60s", "0s"])
STEPS = st.builds(Step, st.sampled_from([1, 10, 50, 100]), HOLDS, st.sampled_from([None, 1, 7]))
CANARIES = st.builds(
    Rollout, st.just(CANARY), st.lists(STEPS, min_size=2, max_size=4).map(tuple),
    gates=st.sampled_from([Gates(), Gates(disagreement=Disagreement("5%", mirror_percent=20))]),
    on_failure=st.sampled_from([PAUSE, "Rollback"]),
)  # fmt: skip
GREENS = st.builds(
    Rollout,
    st.just(BLUE_GREEN),
    blue_green=st.builds(BlueGreen, HOLDS, st.sampled_from(["0s", "10m"]), st.sampled_from([0, 30])),
)
SHADOWS = st.builds(
    Rollout,
    st.just(SHADOW),
    shadow=st.builds(
        Shadow, st.just(40), st.just(1000), st.none() | st.just("60s"), st.sampled_from(["Promote", REPORT])
    ),
)
ROLLOUTS = st.one_of(CANARIES, CANARIES, CANARIES, CANARIES, GREENS, SHADOWS, st.just(AT_ONCE))


HANDS = (
    "deletes the Deployment", "deletes the Service", "deletes the record", "deletes all", "scales", "edits", "relabels",
    "annotates",
)  # fmt: skip
WEIGHTS = st.sampled_from([49, 20, 0])


def variants(name: str) -> st.SearchStrategy[VariantFacts]:
    return st.builds(
        VariantFacts, st.just(name), st.sampled_from([f"fraud-{name}-1"] * 3 + [f"fraud-{name}-2"]), st.just(MODEL),
        WEIGHTS, st.sampled_from([0, 5]), st.integers(1, 3),
    )  # fmt: skip


VARIANTS = st.sampled_from([(), ("x",), ("x", "y")]).flatmap(lambda names: st.tuples(*map(variants, names)))
MATCHES = st.sampled_from([(), (HeaderMatch("x-beta", "1"), HeaderMatch("x-x", "1", "x"))])


class RolloutMachine(RuleBasedStateMachine):
    """Rules are what may happen before the operator looks again; the world checks what it decides then.

    Half of them let things go well, so that disturbances meet every step of a rollout.
    """

    world: World

    @initialize(
        rollout=ROLLOUTS, replicas=st.integers(1, 5), limit=st.integers(0, 2), matches=MATCHES, arms=VARIANTS,
        happened=st.integers(0, 8),
    )  # fmt: skip
    def begin(
        self, rollout: Rollout, replicas: int, limit: int, matches: tuple[HeaderMatch, ...],
        arms: tuple[VariantFacts, ...], happened: int,
    ) -> None:  # fmt: skip
        self.world = World(A, replicas, rollout, arms, matches, limit)
        rest(self.world)
        self.world.ask_for(B)
        for _ in range(happened):
            self.world.settle()
            step(self.world)
            self.world.now += 25

    @rule(times=st.integers(1, 3), seconds=st.sampled_from([1.0, 61.0]), verdict=EVIDENCE)
    def it_goes_on(self, times: int, seconds: float, verdict: Judgement) -> None:
        self.world.verdict = verdict
        for _ in range(times):
            self.world.settle()
            step(self.world)
            self.world.now += seconds

    @rule(seconds=st.sampled_from([-100.0, 5.0, 61.0, 1000.0]), parts=PARTS)
    def time_passes(self, seconds: float, parts: int | None) -> None:
        self.world.now += seconds
        step(self.world, parts)

    @rule(data=st.data(), share=st.sampled_from([0.0, 0.5, 1.0]), settled=st.booleans(), parts=PARTS)
    @precondition(lambda self: self.world.revisions)
    def pods_change(self, data: st.DataObject, share: float, settled: bool, parts: int | None) -> None:
        names = sorted(self.world.revisions)
        often = [self.world.target] if self.world.target in names else []
        pods = self.world.revisions[data.draw(st.sampled_from(often * len(names) + names))]
        pods.ready, pods.settled = int(pods.desired * share), settled
        step(self.world, parts)

    @rule(data=st.data(), what=st.sampled_from(["follows", "finds", "ready", "unready", "replaced"]), parts=PARTS)
    @precondition(lambda self: self.world.routers)
    def a_router_changes(self, data: st.DataObject, what: str, parts: int | None) -> None:
        router = data.draw(st.sampled_from(self.world.routers))
        if what == "follows":
            self.world.follow(router)
        elif what == "finds":
            router.found = set(router.routes.revisions)
        elif what == "replaced":
            # A kubelet that has not seen the newest ConfigMap yet mounts an older one.
            self.world.routers.remove(router)
            self.world.add_router(router.routes)
        else:
            router.ready = what == "ready"
        step(self.world, parts)

    @rule(verdict=st.sampled_from([BAD, UNDECIDED, GOOD]), parts=PARTS)
    def evidence_changes(self, verdict: Judgement, parts: int | None) -> None:
        self.world.verdict = verdict
        step(self.world, parts)

    @rule(revision=st.sampled_from([A, B, C]), parts=PARTS)
    def spec_asks_for(self, revision: str, parts: int | None) -> None:
        self.world.ask_for(revision)
        step(self.world, parts)

    @rule(rollout=ROLLOUTS)
    def another_rollout(self, rollout: Rollout) -> None:
        self.world.rollout = rollout
        step(self.world)

    @rule(replicas=st.integers(1, 5), limit=st.integers(0, 2), matches=MATCHES, arms=VARIANTS, parts=PARTS)
    def another_size(
        self, replicas: int, limit: int, matches: tuple[HeaderMatch, ...], arms: tuple[VariantFacts, ...],
        parts: int | None,
    ) -> None:  # fmt: skip
        world = self.world
        world.replicas, world.history_limit, world.matches, world.variants = replicas, limit, matches, arms
        step(self.world, parts)

    @rule(weights=st.tuples(WEIGHTS, WEIGHTS), parts=PARTS)
    def variants_get_another_share(self, weights: tuple[int, int], parts: int | None) -> None:
        given = zip(self.world.variants, weights, strict=False)
        self.world.variants = tuple(replace(variant, weight=weight) for variant, weight in given)
        step(self.world, parts)

    @rule(command=st.sampled_from([*COMMANDS, "explode"]), sensible=st.booleans(), parts=PARTS)
    def somebody_commands(self, command: str, sensible: bool, parts: int | None) -> None:
        progress = self.world.config[1] if self.world.config else None
        if sensible and progress is not None and (progress.rejected or progress.phase == PAUSED):
            command = "retry" if progress.rejected else "resume"
        self.world.command = command
        step(self.world, parts)

    @rule(config=st.booleans(), status=st.booleans(), parts=PARTS)
    def something_is_lost(self, config: bool, status: bool, parts: int | None) -> None:
        if status:
            self.world.lose_status()
        if config:
            self.world.lose_config()
        step(self.world, parts)

    @rule(data=st.data(), what=st.sampled_from(HANDS), stable=st.booleans(), parts=PARTS)
    @precondition(lambda self: self.world.revisions)
    def foreign_hands(self, data: st.DataObject, what: str, stable: bool, parts: int | None) -> None:
        names = sorted({*self.world.revisions, *self.world.records})
        often = self.world.stable if stable and self.world.stable in names else None
        self.world.somebody(what, often or data.draw(st.sampled_from(names)))
        step(self.world, parts)

    @rule(model=st.sampled_from([A, B]), parts=PARTS)
    def it_is_deleted_and_made_anew(self, model: str, parts: int | None) -> None:
        self.world.make_anew(model)
        step(self.world, parts)

    @rule(parts=PARTS)
    def the_operator_is_upgraded(self, parts: int | None) -> None:
        self.world.image += 1
        step(self.world, parts)

    @rule(following=st.sampled_from([A, B, C]))
    def it_comes_to_rest_and_another_begins(self, following: str) -> None:
        rest(self.world)
        self.world.ask_for(following)


RolloutMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
test_rollouts = RolloutMachine.TestCase
