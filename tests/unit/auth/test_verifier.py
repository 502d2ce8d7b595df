"""A request counts for one pod, process, method, address, body and moment, and once. Each test takes one away."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelward_auth import messages, verifier
from modelward_auth.messages import MONITOR, SERVER
from modelward_auth.verifier import AHEAD, BEHIND, OperatorKeys, RefusedError, SettingError, Verifier, from_environment
from operatoraccess import OPERATOR, STRANGER, Access

BEGAN = 1_000_000.0
COUNTS = "/v1/counts?final=1"


class World:
    """One process of a pod, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.access = Access(folder)
        self.now = BEGAN
        self.verifier = self.started()
        self.now += 100

    def started(self) -> Verifier:
        found = from_environment(MONITOR, self.access.environment)
        assert found is not None
        assert found._operators is not None
        audience = messages.audience(self.access.uid, MONITOR)
        return Verifier(audience, found._operators, lambda: self.now)

    def header(self, at: float = 0.0, **more: str) -> str:
        moment = int((self.now + at) * 1000)
        wanted = {"uid": "pod-1", "process": MONITOR, "method": "GET", "target": COUNTS} | more
        audience = messages.audience(wanted["uid"], wanted["process"])
        request = messages.asked(audience, wanted["method"], wanted["target"], b"", moment)
        return messages.header(request, OPERATOR.identifier, self.access.session())

    def check(self, header: str | None, method: str = "GET", target: str = COUNTS) -> None:
        self.verifier.check(header, method, target)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_operators_request_is_accepted(world: World) -> None:
    world.check(world.header())
    world.check(world.header(at=AHEAD / 1000))
    world.check(world.header(at=-BEHIND / 1000))


def test_without_a_header_nothing_is_answered(world: World) -> None:
    with pytest.raises(RefusedError, match="only the operator"):
        world.check(None)


def test_a_request_is_answered_once(world: World) -> None:
    header = world.header()
    world.check(header)
    for later in (0, 1, BEHIND / 1000 - 1):
        world.now += later
        with pytest.raises(RefusedError, match=r"once|another time"):
            world.check(header)


def test_numbers_that_were_used_are_forgotten_only_when_their_time_is_over(world: World) -> None:
    first = world.header(at=AHEAD / 1000)
    world.check(first)
    for _ in range(100):
        world.now += 1
        world.check(world.header())
        with pytest.raises(RefusedError):
            world.check(first)
    assert len(world.verifier._used) <= (BEHIND + AHEAD) / 1000 + 1


def test_what_was_forgotten_is_not_taken_again_when_a_clock_goes_back(world: World) -> None:
    first = world.header()
    world.check(first)
    world.now += 10 * BEHIND / 1000
    world.check(world.header())
    assert len(world.verifier._used) == 1
    world.now -= 10 * BEHIND / 1000
    with pytest.raises(RefusedError):
        world.check(first)


def test_so_many_numbers_are_remembered_and_none_of_the_others_is_taken_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "MOST_USED", 5)
    headers = []
    for _ in range(20):
        world.now += 0.1
        headers.append(world.header())
        world.check(headers[-1])
    assert len(world.verifier._used) == 5
    for header in headers:
        with pytest.raises(RefusedError):
            world.check(header)


@pytest.mark.parametrize("apart", [-61.0, 6.0, 1e6])
def test_a_request_of_another_time_is_refused(world: World, apart: float) -> None:
    with pytest.raises(RefusedError, match=f"differ by {apart:.0f} s"):
        world.check(world.header(at=apart))


def test_a_process_that_begins_anew_takes_nothing_from_before(world: World) -> None:
    """Whatever of the two clocks is ahead."""
    for ahead in (0.0, AHEAD / 1000):
        header = world.header(at=ahead)
        world.check(header)
        world.verifier = world.started()
        with pytest.raises(RefusedError, match="older than this process"):
            world.check(header)
        world.now += AHEAD / 1000 + 0.1
        with pytest.raises(RefusedError):
            world.check(header)
        world.check(world.header())


CHANGES: dict[str, Callable[[World], tuple[str, str, str]]] = {
    "another pod": lambda world: (world.header(uid="pod-2"), "GET", COUNTS),
    "another process of the pod": lambda world: (world.header(process=SERVER), "GET", COUNTS),
    "another method": lambda world: (world.header(), "PUT", COUNTS),
    "another path": lambda world: (world.header(), "GET", "/v1/reference"),
    "another query": lambda world: (world.header(), "GET", "/v1/counts"),
    "another body": lambda world: (_changed(world.header(), "body="), "GET", COUNTS),
    "another time": lambda world: (_changed(world.header(), "time="), "GET", COUNTS),
    "another number": lambda world: (_changed(world.header(), "nonce="), "GET", COUNTS),
    "another signature": lambda world: (_changed(world.header(), "mac="), "GET", COUNTS),
    "another key": lambda world: (_changed(world.header(), "key="), "GET", COUNTS),
}


def _changed(header: str, field: str) -> str:
    at = header.index(field) + len(field) + 5
    return f"{header[:at]}{'1' if header[at] == '0' else '0'}{header[at + 1 :]}"


@pytest.mark.parametrize("change", CHANGES)
def test_a_request_counts_for_nothing_else(world: World, change: str) -> None:
    header, method, target = CHANGES[change](world)
    with pytest.raises(RefusedError):
        world.check(header, method, target)
    world.check(world.header())


def test_what_another_pod_was_asked_says_nothing_to_this_one(world: World, tmp_path: Path) -> None:
    """Even where that pod's key signs it, for this one."""
    (tmp_path / "other").mkdir()
    other = Access(tmp_path / "other", "pod-2")
    request = messages.asked(messages.audience("pod-1", MONITOR), "GET", COUNTS, b"", int(world.now * 1000))
    with pytest.raises(RefusedError, match="signature"):
        world.check(messages.header(request, OPERATOR.identifier, other.session()))


def test_whom_the_pod_does_not_know_is_not_the_operator(world: World) -> None:
    with pytest.raises(RefusedError, match="not the operator's here"):
        world.check(world.access.header(MONITOR, target=COUNTS, operator=STRANGER))


def test_a_pod_learns_of_the_operators_keys_while_it_runs_and_forgets_them_at_once(world: World) -> None:
    def asked_by(operator: object) -> None:
        moment = int(world.now * 1000)
        request = messages.asked(messages.audience("pod-1", MONITOR), "GET", COUNTS, b"", moment)
        world.check(messages.header(request, operator.identifier, world.access.session(operator)))  # type: ignore[attr-defined,arg-type]

    world.access.know(OPERATOR, STRANGER)
    asked_by(OPERATOR)
    asked_by(STRANGER)
    world.access.know(STRANGER)
    asked_by(STRANGER)
    with pytest.raises(RefusedError, match="not the operator's here"):
        asked_by(OPERATOR)
    world.access.keys_file.unlink()
    with pytest.raises(RefusedError, match="not the operator's here"):
        asked_by(STRANGER)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "v1",
        "Bearer x",
        "v2 key=0 time=0 nonce=0 body=0 mac=0",
        "v1 " + "x" * 100_000,
        "v1 key=\n time=1",
        "\0",
        "ä",
    ],
)
def test_a_header_that_can_not_be_read_is_refused(world: World, header: str) -> None:
    with pytest.raises(RefusedError, match="can't be read"):
        world.check(header)


def test_lines_that_are_no_keys_are_left_out(world: World) -> None:
    text = world.access.keys_file.read_text()
    world.access.keys_file.write_text(f"nonsense\n{text}")
    world.check(world.header())


@pytest.mark.parametrize("missing", ["POD_KEY", "OPERATOR_KEYS"])
def test_a_process_that_knows_no_operator_answers_nobody(world: World, missing: str) -> None:
    environment = {name: value for name, value in world.access.environment.items() if name != missing}
    for found in (from_environment(MONITOR, environment), from_environment(MONITOR, {})):
        assert found is not None
        with pytest.raises(RefusedError, match="knows no operator"):
            found.check(world.header(), "GET", COUNTS)


@pytest.mark.parametrize("content", ["", "nonsense", "5", "-1", "f" * 100])
def test_a_key_that_can_not_be_read_opens_nothing(world: World, content: str) -> None:
    world.access.key_file.unlink()
    world.access.key_file.write_text(content)
    found = from_environment(MONITOR, world.access.environment)
    assert found is not None
    with pytest.raises(RefusedError, match="knows no operator"):
        found.check(world.header(), "GET", COUNTS)


def test_only_the_word_true_opens_a_process() -> None:
    assert from_environment(MONITOR, {"OPERATOR_UNAUTHENTICATED": "true"}) is None
    for word in ("", "false", "False "):
        assert (from_environment(MONITOR, {"OPERATOR_UNAUTHENTICATED": word}) is None) is False
    with pytest.raises(SettingError, match="OPERATOR_UNAUTHENTICATED"):
        from_environment(MONITOR, {"OPERATOR_UNAUTHENTICATED": "yes"})


def test_a_pods_key_is_for_its_own_eyes_and_stays_what_it_was_announced_as(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = verifier.make_key(path)
    assert path.stat().st_mode & 0o777 == 0o400
    assert verifier.make_key(path) == first
    assert verifier.make_key(tmp_path / "another") != first
    path.unlink()
    path.write_text("half a k")
    assert verifier.make_key(path) != first
    assert path.stat().st_mode & 0o777 == 0o400
    assert OperatorKeys(tmp_path / "none", OPERATOR).session("") is None
