"""Versions are compared round by round: a machine that is slow in one round is slow for both."""

from benchmarks.serving.versions import row


def test_a_ratio_is_the_median_of_the_rounds_and_not_of_the_medians() -> None:
    # The third round was on a machine that is ten times as slow.
    rounds = [(100e-6, 110e-6), (120e-6, 126e-6), (1000e-6, 1200e-6)]
    assert row("json, 1 row", rounds) == ("json, 1 row", "120.0", "126.0", "1.100", "1.050", "1.200")
