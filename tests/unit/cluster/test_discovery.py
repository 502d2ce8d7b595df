"""What is watched hangs on what the cluster serves."""

import pytest

from modelward.cluster import discovery
from modelward.cluster.client import ApiError, ApiUnreachableError
from modelward.cluster.discovery import discover
from modelward.cluster.resources import HTTP_ROUTES, WATCHED, Resource


class Server:
    """Gives one answer after the other."""

    def __init__(self, *answers: bool | Exception) -> None:
        self._answers = iter(answers)

    async def serves(self, _resource: Resource) -> bool:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(("served", "more"), [(True, (HTTP_ROUTES,)), (False, ())])
async def test_optional_kinds_are_watched_where_they_are_served(served: bool, more: tuple[Resource, ...]) -> None:
    assert await discover(Server(served)) == (*WATCHED, *more)  # type: ignore[arg-type]


async def test_it_waits_for_an_api_server_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess would leave HTTPRoutes unwatched for as long as the process lives."""
    monkeypatch.setattr(discovery, "RETRY_SECONDS", 0.0)
    server = Server(ApiUnreachableError("refused"), ApiError(503, "ServiceUnavailable", "starting"), True)
    assert HTTP_ROUTES in await discover(server)  # type: ignore[arg-type]
