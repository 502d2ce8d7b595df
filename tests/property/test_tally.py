"""What is counted between looks is what happened, whatever restarts and whoever does not answer."""

from hypothesis import given
from hypothesis import strategies as st

from modelward.rollouts.evidence.tally import Counts, Readings, between, remembered

POD, REVISION = "uid-router", "fraud-a"
COUNTS = st.builds(Counts, *(st.integers(0, 50) for _ in range(4)))


@given(st.lists(st.tuples(COUNTS, st.booleans(), st.booleans())))
def test_what_was_counted_is_what_happened_but_for_the_first_look(
    history: list[tuple[Counts, bool, bool]],
) -> None:
    """Each entry: what happens, whether the process starts anew before it, whether the look is answered.

    A restart loses what was counted since the last look, and may lose nothing else.
    """
    before: Readings = {}
    shown, unseen, expected, seen = Counts(), Counts(), Counts(), Counts()
    begun = False
    for happened, restarted, answered in history:
        if restarted:
            shown, unseen = Counts(), Counts()
        shown, unseen = shown + happened, unseen + happened
        if not answered:
            continue
        now = {POD: {REVISION: shown}}
        seen = seen + between(before, now).get(REVISION, Counts())
        if begun:
            expected = expected + unseen
        before, unseen, begun = remembered(before, now, frozenset({POD})), Counts(), True
    # A restart that the numbers do not show can only make it less.
    assert all(0 <= few <= many for few, many in zip(vars(seen).values(), vars(expected).values(), strict=True))


@given(st.lists(COUNTS))
def test_without_restarts_nothing_is_lost(history: list[Counts]) -> None:
    before: Readings = {POD: {}}
    shown, seen = Counts(), Counts()
    for happened in history:
        shown = shown + happened
        now = {POD: {REVISION: shown}}
        seen = seen + between(before, now)[REVISION]
        before = remembered(before, now, frozenset({POD}))
    assert seen == shown
