"""Segments of the prediction log: whatever a death or a bad disk leaves, no batch is read twice and none made up."""

import tempfile
from pathlib import Path

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward_inference.capture.wire import Batch
from modelward_monitor.counting.arrivals import Arrival
from modelward_monitor.counting.counter import Run
from modelward_monitor.predictionlog.journal import Journal, Limits
from modelward_monitor.predictionlog.mark import Mark
from modelward_monitor.predictionlog.segments import Raw, Segment, Segments, records, size_of

RAWS = st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=40)), max_size=8)
EPOCH = "0123456789abcdef"


def opened(folder: str) -> Segments:
    made = Segments(Path(folder))
    made.open()
    return made


@settings(deadline=None)
@given(RAWS, RAWS, st.binary(max_size=200))
def test_what_lies_behind_the_mark_is_never_read(first: list[Raw], second: list[Raw], torn: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        segments, segment = opened(folder), Segment(EPOCH, 1)
        size = segments.append(segment, 0, first)
        assert size == sum(map(size_of, first))
        with segments.path(segment).open("ab") as file:
            file.write(torn)  # of a monitor that died before its snapshot
        segments.cut(segment, size)
        assert list(records(segments.path(segment))) == first
        segments.append(segment, size, second)
        assert list(records(segments.path(segment))) == [*first, *second]


@settings(deadline=None)
@given(RAWS, st.data())
def test_what_is_cut_or_damaged_is_told_and_the_rest_is_as_it_was(raws: list[Raw], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        segments, segment = opened(folder), Segment(EPOCH, 1)
        size = segments.append(segment, 0, raws)
        path = segments.path(segment)
        written = path.read_bytes()
        content = bytearray(written)
        if content and data.draw(st.booleans()):
            content[data.draw(st.integers(0, size - 1))] ^= data.draw(st.integers(1, 255))
        else:
            content = content[: data.draw(st.integers(0, size))]
        path.write_bytes(content)
        found = list(records(path))
        whole = [each for each in found if each is not None]
        assert all(each in raws for each in whole)
        ends = [sum(map(size_of, raws[:number])) for number in range(len(raws) + 1)]
        if bytes(content) in [written[:end] for end in ends]:
            assert found == raws[: len(found)]
        else:
            assert None in found
            assert len(whole) < len(raws)


def arrived(number: int) -> Arrival:
    """A batch of as many rows as its number says."""
    head = orjson.dumps({"epoch": "run", "number": number, "rows": number})
    return Arrival(Batch("run", number, number, {}, {}), raw=(head, b"b" * number))


STEPS = st.lists(
    st.tuples(st.just("offer"), st.integers(1, 6))
    | st.sampled_from([("save",), ("save in vain",), ("die",), ("tick",)]),
    max_size=40,
)


@settings(deadline=None)
@given(STEPS, st.integers(200, 2000), st.integers(50, 400))
def test_rows_are_written_or_lost_once_whatever_fails_and_dies(
    steps: list[tuple[str, int] | tuple[str]], disk: int, segment: int
) -> None:
    """A server that sends again what no saved snapshot has, and a monitor that dies or can't save in between."""
    with tempfile.TemporaryDirectory() as folder:
        now = 0.0

        def begin(mark: Mark) -> tuple[Journal, Mark]:
            made = Journal(Segments(Path(folder)), Limits(disk, segment, 3.0), lambda: now)
            return made, made.open(mark)

        saved, runs = Mark(), dict[str, Run]()
        journal, mark = begin(saved)
        sent = 0  # batches that the server has made
        taken = 0  # the last that the monitor took in
        for name, *count in steps:
            match name:
                case "offer":
                    again = max(1, taken - count[0])  # some come twice
                    sent = max(sent, taken + count[0])
                    batches = [arrived(n) for n in range(again, sent + 1)]
                    journal.offer(batches, {"run": Run(taken)})
                    taken = sent
                case "save":
                    mark, done = journal.write(mark, journal.take())
                    journal.forget(done)
                    saved, runs = mark, {"run": Run(taken)}
                case "save in vain":
                    pending = journal.take()
                    journal.write(mark, pending)
                    journal.give_back(pending)
                case "die":
                    journal, mark = begin(saved)
                    taken = runs.get("run", Run()).number
                    if sent > taken:
                        batches = [arrived(n) for n in range(1, sent + 1)]
                        journal.offer(batches, runs)
                        taken = sent
                case _:
                    now += 2.0
        mark, _ = journal.write(mark, journal.take(), close=True)
        assert mark.written + mark.lost["full"] == sum(range(1, taken + 1))
        assert mark.lost["failed"] == mark.lost["unreadable"] == 0
        segments, open_one = Segments(Path(folder)), Segment(mark.epoch, mark.segment)
        found = [raw for each in segments.raw() if each != open_one for raw in records(segments.path(each))]
        assert None not in found
        numbers = [orjson.loads(raw[0])["number"] for raw in found if raw is not None]
        assert len(numbers) == len(set(numbers))
        assert sum(numbers) == mark.written
        assert segments.size() <= disk
