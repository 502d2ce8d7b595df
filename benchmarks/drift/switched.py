"""`serve`, whose capture SIGUSR1 turns off and on again: the same process without it and with it.

Off is what a server without CAPTURE_SOCKET is, but for ten empty looks a second at an empty buffer.
"""

import signal

from modelward_inference import cpu

cores = cpu.limit_library_threads()

from modelward_inference.engine.computing import Observer  # noqa: E402
from modelward_inference.engine.dataplane import DataPlane  # noqa: E402
from modelward_inference.serve import process as server  # noqa: E402  numpy must not be imported before the limit is set


class Switched(DataPlane):
    """A data plane whose observer comes and goes."""

    def observe(self, observer: Observer) -> None:
        def switch(*_: object) -> None:
            self._batcher.observer = observer if self._batcher.observer is None else None

        super().observe(observer)
        signal.signal(signal.SIGUSR1, switch)


setattr(server, "DataPlane", Switched)  # noqa: B010  mypy lets nobody assign what a module imports
server.serve(server.Settings.from_environment(cores))
