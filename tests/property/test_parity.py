"""The short form of `make parity`: drawn models answer, and refuse, as the library does."""

from hypothesis import HealthCheck, assume, given, settings

from parity.drawn import Drawn, models
from parity.judged import judge


@settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(models())
def test_a_drawn_model_is_served_as_it_is(drawn: Drawn | None) -> None:
    assume(drawn is not None)
    assert drawn is not None
    assert judge(drawn).wrong == "", drawn.name
