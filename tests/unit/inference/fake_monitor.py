"""A monitor as a test wants it: it keeps what it acknowledges, dies without a word, dawdles, or talks nonsense."""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from modelward_inference.capture.wire import LENGTHS, Batch, frame, lengths, load_batch

from .processes import DEADLINE


@dataclass
class Disk:
    """What outlives a monitor. `batches`: of one run of the server, in their order."""

    epoch: str | None = None
    batches: list[Batch] = field(default_factory=list)

    def keep(self, batches: list[Batch]) -> None:
        for batch in batches:
            assert batch.number == len(self.batches) + 1, "a batch came twice, or one was left out"
            assert self.epoch in (None, batch.epoch)
            self.epoch = batch.epoch
            self.batches.append(batch)

    def rows(self, name: str = "x") -> list[float]:
        """The first column of an input, sorted."""
        return sorted(float(row[0]) for batch in self.batches if batch.rows for row in batch.inputs[name])


class FakeMonitor:
    """`with` it to listen at `path`, in threads.

    `saves`: whether it writes to its disk, and acknowledges, what it has read; if not, that is in `unsaved` and gone
    with it. `talk`: takes the place of all this, for one connection after the other. `ended`: set at its end.
    """

    def __init__(
        self, path: Path, disk: Disk | None = None, *, saves: bool = True,
        talk: Callable[[socket.socket], None] | None = None,
    ) -> None:  # fmt: skip
        self.disk = disk or Disk()
        self.unsaved: list[Batch] = []
        self.connections = 0
        self.changed = threading.Condition()
        self.ended = threading.Event()
        self._path = path
        self._saves = saves
        self._talk = talk or self._honestly
        self._open: list[socket.socket] = []
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Dies as a killed process does."""
        self.ended.set()
        self._path.unlink(missing_ok=True)
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE)
        for each in (self._listener, *self._open):
            each.close()
        assert self._failure is None, self._failure

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until it holds; it is looked at whenever something happens."""
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE), "it did not come about"

    def rows_seen(self) -> int:
        """Saved or not."""
        return sum(batch.rows for batch in (*self.disk.batches, *self.unsaved))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                with self.changed:
                    self.connections += 1
                    self.changed.notify_all()
                try:
                    with contextlib.suppress(OSError, EOFError):
                        self._talk(connection)
                except BaseException as error:  # noqa: BLE001  the test has to hear of it
                    self._failure = error
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _honestly(self, connection: socket.socket) -> None:
        self.unsaved.clear()
        say(connection, epoch=self.disk.epoch, number=len(self.disk.batches))
        while True:
            batch = read_batch(connection)
            with self.changed:
                self.unsaved.append(batch)
                if self._saves:
                    self.disk.keep(self.unsaved)
                    self.unsaved.clear()
                self.changed.notify_all()
            if self._saves:
                say(connection, ack=batch.number)


def say(connection: socket.socket, **words: object) -> None:
    connection.sendall(b"".join(frame(words)))


def read_batch(connection: socket.socket) -> Batch:
    """The next one. Raises EOFError."""
    head, body = lengths(_exactly(connection, LENGTHS.size))
    return load_batch(_exactly(connection, head), _exactly(connection, body))


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            raise EOFError
        found += part
    return bytes(found)
