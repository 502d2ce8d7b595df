"""Answers by users: who is counted where, over both protocols, and that nobody pays or is kept by name."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from modelward.rollouts.evidence.by_users import ROWS, counted
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.statistics import clustered
from modelward.routing.envoy.routes import USERS_HEADER
from modelward_inference.serve.grpc_api.server import GrpcServer
from modelward_inference.serve.state import State
from modelward_inference.telemetry.users import BUCKETS, HEADER, MATCHED, Users

from .grpc_api.served import DEADLINE, MAX_BODY, Gate
from .test_served_queue import RestOnSocket, answered

USERS = "/modelward/users"


def test_both_sides_mean_the_same() -> None:
    assert (HEADER, BUCKETS, MATCHED + 1) == (USERS_HEADER, clustered.BUCKETS, ROWS)


def counting(where: str, *requests: Mapping[str, str], code: int | str = 200, refused: bool = False) -> list[int]:
    """The rows in which the requests are counted."""
    users, found = Users(), []
    for headers in requests:
        before = users.page(None)["users"]
        users.count(where, lambda name, headers=headers: headers.get(name, ""), code, 0.01, refused=refused)  # type: ignore[misc]
        after = users.page(None)["users"]
        found += [number for number, row in enumerate(after) if row != before[number]]
    return found


def test_a_user_is_always_in_the_same_bucket_wherever_the_name_stands() -> None:
    by_header = counting("header:x-user", {"x-user": "anna"}, {"x-user": "anna", "x-request-id": "7"})
    by_cookie = counting("cookie:visitor", {"cookie": "a=b; visitor=anna;c=d"}, {"cookie": "visitor=anna"})
    assert len({*by_header, *by_cookie}) == 1
    names = [{"x-user": f"user {number}"} for number in range(500)]
    assert set(counting("header:x-user", *names)) == set(range(BUCKETS))


@pytest.mark.parametrize("where", ["header:x-user", "cookie:visitor", "request", "", "nonsense"])
def test_who_has_no_name_is_named_by_the_request(where: str) -> None:
    """As the router's hash has it, and the cookie that it sets."""
    first = counting(where, {"x-request-id": "r1"}, {"x-request-id": "r1", "cookie": "visitor=; other=1"})
    assert first == counting("cookie:visitor", {"cookie": "visitor=r1"}) * 2
    assert len(counting(where, {})) == 1


def test_what_a_rule_sent_is_apart() -> None:
    assert counting("matched", {"x-request-id": "r1"}, {}) == [MATCHED, MATCHED]


@pytest.mark.parametrize(
    ("code", "refused", "expected"),
    [
        (200, False, [1, 0, 0, 0]), (400, True, [1, 0, 1, 0]), (404, False, [1, 0, 0, 0]), (500, False, [1, 1, 0, 0]),
        (504, False, [1, 1, 0, 0]), (499, False, [0, 0, 0, 0]), ("OK", False, [1, 0, 0, 0]),
        ("INVALID_ARGUMENT", True, [1, 0, 1, 0]), ("INTERNAL", False, [1, 1, 0, 0]), ("CANCELLED", False, [0, 0, 0, 0]),
    ],
)  # fmt: skip
def test_what_is_counted_of_an_answer(code: int | str, refused: bool, expected: list[int]) -> None:
    users = Users()
    users.count("matched", lambda _: "", code, 0.01, refused=refused)
    assert users.page(None)["users"][MATCHED] == expected


@pytest.mark.parametrize(("slo", "slow"), [(0.01, 1), (0.0099, 1), (0.005, 2), (0.02, 0), (9999.0, 0), (0.0, 2)])
def test_slow_is_what_is_above_the_next_bound(slo: float, slow: int) -> None:
    users = Users()
    for seconds in (0.0075, 0.012):
        users.count("matched", lambda _: "", 200, seconds, refused=False)
    assert users.page(slo)["users"][MATCHED] == [2, 0, 0, slow]


@pytest_asyncio.fixture
async def rest() -> AsyncIterator[RestOnSocket]:
    served = RestOnSocket(Gate())
    served.gate.open.set()
    yield served
    await served.stop()


async def page(rest: RestOnSocket, query: str = "") -> dict[str, Any]:
    status, body = await answered(await rest.ask(path=USERS + query))
    assert status == 200
    found: dict[str, Any] = json.loads(body)
    return found


async def test_rest_and_grpc_count_the_same_user_and_the_operator_reads_it(rest: RestOnSocket) -> None:
    named = {"x_modelward_users": "header:x-user", "x_user": "anna"}
    assert (await answered(await rest.ask(**named)))[0] == 200
    assert (await answered(await rest.ask()))[0] == 200, "whose user the router did not name"
    request = pb.ModelInferRequest(model_name="m")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 1]).contents.fp32_contents.append(5)
    wrong = pb.ModelInferRequest(model_name="m")
    wrong.inputs.add(name="x", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(b"5")
    server = GrpcServer(rest.plane, State(), 0, MAX_BODY, "127.0.0.1")
    async with server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        metadata = [("x-modelward-users", "header:x-user"), ("x-user", "anna")]
        await infer(request, timeout=DEADLINE, metadata=metadata)
        with pytest.raises(grpc.RpcError):
            await infer(wrong, timeout=DEADLINE, metadata=metadata)
    found = counted("r", await page(rest, "?slo=300"))
    asked = [each for each in found.values() if each.requests]
    assert asked == [Counts(3, 0, 3, 0, 3, 1)]


@pytest.mark.parametrize("query", ["x", "", "1s"])
async def test_an_objective_that_is_none_is_told(rest: RestOnSocket, query: str) -> None:
    status, body = await answered(await rest.ask(path=f"{USERS}?slo={query}"))
    assert status == 400
    assert "write seconds" in json.loads(body)["error"]


async def test_the_page_of_the_interface_tells_of_it(rest: RestOnSocket) -> None:
    status, body = await answered(await rest.ask(path="/openapi.json"))
    assert status == 200
    told = json.loads(body)["paths"][USERS]["get"]
    assert [parameter["name"] for parameter in told["parameters"]] == ["slo"]
    assert set(told["responses"]) == {"200", "400", "401"}
