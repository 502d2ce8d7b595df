"""`ship`: makes Parquet of the closed segments, and brings it to the store. A process of its own, which ends.

So the libraries that this takes (Arrow, boto3: some 100 MB) are there only while they work, at the lowest priority, and
whatever becomes of them, the monitor counts on. It may be killed at any moment: what it had not finished is done again,
under the same names. One at a time, by a lock. What it has to say is one line of JSON on its standard output.
"""

import argparse
import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from modelward_inference.errors import InvalidConfiguration
from modelward_monitor.predictionlog import convert, house
from modelward_monitor.predictionlog.segments import Segment, Segments
from modelward_monitor.predictionlog.settings import LogSettings
from modelward_monitor.predictionlog.stores import LogStore, StoreError, store_of
from modelward_telemetry import logs, wanted
from modelward_telemetry.wanted import Follower

log = logging.getLogger(__name__)

NICENESS: Final = 10
"""Of the process: what serves requests goes first."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="modelward_monitor.predictionlog.ship")
    parser.add_argument("--epoch", required=True, help="of the log that goes on")
    parser.add_argument("--open", type=int, required=True, help="number of its open segment, which is left alone")
    parser.add_argument("--outcomes-epoch", default="", help="the same, of outcomes")
    parser.add_argument("--outcomes-open", type=int, default=1)
    parser.add_argument("--outcomes-lost", type=int, default=0)
    parser.add_argument("--lost", type=int, default=0, help="rows that were lost so far")
    parser.add_argument("--compact", action="append", default=[], help="a folder whose files of this pod are joined")
    parser.add_argument("--house", action="store_true", help="look after all files of the model")
    given = parser.parse_args(arguments)
    os.nice(NICENESS)
    level, environment = os.environ.get("LOG_LEVEL", "INFO").upper(), os.environ
    logs.configure(
        level, "monitor", name=environment.get("MODEL_NAME", ""), revision=environment.get("MODEL_REVISION", "")
    )
    Follower(wanted.path_of(), level).look()  # it ends before there is much news
    said: dict[str, Any] = {"stored": 0, "folders": [], "compacted": [], "house": False}
    try:
        settings = LogSettings.from_environment()
        if settings is None:
            raise InvalidConfiguration("PREDICTION_LOG_URI is not set")
        with _alone(settings.folder) as alone:
            if alone:
                _work(settings, given, said)
            else:
                said["error"] = {"kind": "Busy", "message": "another process still writes the log's files"}
    except StoreError as error:
        said["error"] = {"kind": error.kind, "message": str(error)}
    except InvalidConfiguration as error:
        said["error"] = {"kind": "Invalid", "message": str(error)}
    except OSError as error:
        said["error"] = {"kind": "Disk", "message": f"the prediction log can't be written to the pod's disk: {error}"}
    _tell(said)
    return 1 if "error" in said else 0


def _tell(said: dict[str, Any]) -> None:
    try:
        sys.stdout.buffer.write(orjson.dumps(said) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        log.info("the monitor that asked has ended; what is stored stays, and the next one asks for the rest")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python says so again when it ends


def _work(settings: LogSettings, given: argparse.Namespace, said: dict[str, Any]) -> None:
    segments, outcomes = Segments(settings.folder), Segments(settings.outcomes_folder)
    for each in (segments, outcomes):
        each.open()
        each.clear()
    version = os.environ.get("MODEL_VERSION", "")
    for segment in segments.raw():
        # First all of them: as Parquet they take less of the disk while the store is away.
        if segment.epoch != given.epoch or segment.number < given.open:
            convert.convert(segments, segment, settings, version, given.lost)
    for segment in outcomes.raw() if given.outcomes_epoch else ():
        if segment.epoch != given.outcomes_epoch or segment.number < given.outcomes_open:
            convert.convert_outcomes(outcomes, segment, settings, given.outcomes_lost)
    store: LogStore | None = None
    # Outcomes first: there are few of them, and a store that has long been away has many rows to catch up with.
    for each in (outcomes, segments):
        for segment in each.ready():
            store = store or store_of(settings)
            _upload(each, segment, store, said)
    if given.compact or given.house:
        store = store or store_of(settings)
        now = time.time()
        for folder in given.compact:
            house.compact(store, list(store.list(f"{folder}/{settings.pod}.")), segments.aside)
            said["compacted"].append(folder)
        if given.house:
            house.keep(store, settings.namespace, settings.model, settings.pod, settings.retention, now, segments.aside)
            said["house"] = True


def _upload(segments: Segments, segment: Segment, store: LogStore, said: dict[str, Any]) -> None:
    """In the order of segments: where a file is there, all that came before it are."""
    for file in segments.files(segment):
        path = convert.decoded(file.name)
        store.put(path, file)
        folder = path.rpartition("/")[0]
        if folder not in said["folders"]:
            said["folders"].append(folder)
    segments.stored(segment)
    said["stored"] += 1


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


if __name__ == "__main__":
    sys.exit(main())
