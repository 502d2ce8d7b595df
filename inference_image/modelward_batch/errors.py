"""Why a pod of a batch ends early: what another attempt may mend, and what only people can.

Both have messages that name the cause, and `Incurable` the cure.
"""


class Incurable(Exception):  # noqa: N818  it is what the run is, and how the operator treats it
    """Another attempt would end in the same way."""


class Passing(Exception):  # noqa: N818
    """It may go well next time: the store or the network was away."""


class Stopped(BaseException):
    """The pod was told to end. No `Exception`: what a model raises is one, and would be a row's."""


class FileChanged(Incurable):
    """A file of the input is another one than the plan says."""
