"""The monitor's container runs this: it keeps the monitor itself running in a process of its own.

Kubernetes counts a pod as unready while any of its containers is down, sidecars too, and waits longer and longer before
it starts one anew. A monitor that dies must not take its model out of service, so its container does not die with it.
Little is imported here: this process only waits.
"""

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from types import FrameType

log = logging.getLogger(__name__)

PAUSE_FIRST, PAUSE_MOST = 0.5, 30.0
"""Seconds between an end and the next beginning; doubled each time."""

LONG_RUN = 60.0
"""Seconds after which a run counts as one that worked."""


def keep(command: Sequence[str], pause: float = PAUSE_FIRST) -> int:
    """Run `command` until SIGTERM or SIGINT, which it is told too; returns its last exit code. `pause`: seconds."""
    ended = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def end(number: int, _frame: FrameType | None) -> None:
        ended.set()
        for process in running:
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    wait, code = pause, 0
    while not ended.is_set():
        began = time.monotonic()
        process = subprocess.Popen(command)
        running[:] = [process]
        if ended.is_set():  # the signal came before there was anybody to tell
            process.send_signal(signal.SIGTERM)
        code = process.wait()
        running.clear()
        if ended.is_set():
            break
        wait = pause if time.monotonic() - began > LONG_RUN else wait
        log.warning("the monitor ended with %d; it begins anew in %.1f s", code, wait)
        ended.wait(wait)
        wait = min(PAUSE_MOST, 2 * wait)
    return code
