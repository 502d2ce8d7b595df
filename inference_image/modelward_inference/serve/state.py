"""What the probes and both protocols ask of the process: whether it still wants requests."""


class State:
    """`draining`: the process ends; it answers what comes, and asks every client to go elsewhere."""

    def __init__(self) -> None:
        self.draining = False
