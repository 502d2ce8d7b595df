"""Says what goes on, with the time it has taken so far; also where the output is no terminal."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

STARTED = time.monotonic()

HEARTBEAT = 15.0
"""Seconds between two signs of life of a long step."""


class SetupError(Exception):
    """The cluster can't be made; the message names the cause and the cure."""


def say(text: str) -> None:
    """One line on stderr, after the seconds since the start of the program."""
    sys.stderr.write(f"[{time.monotonic() - STARTED:6.1f}s] {text}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Announces a step, gives signs of life while it lasts, and says how long it took."""
    say(f"{text} …")
    began = time.monotonic()
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT):
            say(f"{text}: {time.monotonic() - began:.0f} s so far")

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
    say(f"{text}: done in {time.monotonic() - began:.1f} s")


def wait_for(what: str, condition: "object", deadline: float, pause: float = 0.2) -> None:
    """Call `condition` until it is true. Raises SetupError after `deadline` seconds."""
    assert callable(condition)
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise SetupError(f"{what} took longer than {deadline:.0f} s")
        time.sleep(pause)
