"""What is watched hangs on what the cluster serves, and on what the account may list."""

from dataclasses import dataclass, field

import pytest

from modelward.kube import discovery
from modelward.kube.client import ApiError, ApiUnreachableError
from modelward.kube.discovery import discover
from modelward.kube.resources import HTTP_ROUTES, JOBS, MODEL_DEPLOYMENTS, NAMESPACES, WATCHED, Resource

NAMESPACED = tuple(each for each in WATCHED if each is not NAMESPACES)


@dataclass
class Server:
    """`served`: one answer after the other; `refused`: what may not be listed where (None: everywhere)."""

    served: list[bool | Exception]
    refused: set[tuple[Resource, str | None]] = field(default_factory=set)

    async def serves(self, _resource: Resource) -> bool:
        answer = self.served.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def why_unreadable(self, resource: Resource, namespace: str | None) -> str | None:
        return f"no {resource.plural} for you" if (resource, namespace) in self.refused else None


async def found(server: Server, *namespaces: str) -> discovery.Scope:
    return await discover(server, namespaces or None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("served", "more"), [(True, (HTTP_ROUTES,)), (False, ())])
async def test_optional_kinds_are_watched_where_they_are_served(served: bool, more: tuple[Resource, ...]) -> None:
    assert (await found(Server([served]))).resources == (*WATCHED, *more)
    assert (await found(Server([served]), "ml")).resources == (*NAMESPACED, *more)


async def test_it_waits_for_an_api_server_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess would leave HTTPRoutes unwatched for as long as the process lives."""
    monkeypatch.setattr(discovery, "RETRY_SECONDS", 0.0)
    server = Server([ApiUnreachableError("refused"), ApiError(503, "ServiceUnavailable", "starting"), True])
    assert HTTP_ROUTES in (await found(server)).resources


async def test_an_optional_kind_that_may_not_be_asked_for_is_withheld() -> None:
    scope = await found(Server([ApiError(403, "Forbidden", "no discovery for you")]))
    assert scope.resources == WATCHED
    assert scope.withheld == {HTTP_ROUTES: "no discovery for you"}


async def test_an_optional_kind_that_may_not_be_listed_somewhere_is_withheld() -> None:
    scope = await found(Server([True], {(HTTP_ROUTES, "b")}), "a", "b")
    assert (scope.namespaces, scope.resources) == (("a", "b"), NAMESPACED)
    assert scope.withheld == {HTTP_ROUTES: "no httproutes for you"}


async def test_without_the_list_of_namespaces_the_rest_is_watched() -> None:
    scope = await found(Server([False], {(NAMESPACES, None)}))
    assert scope.resources == NAMESPACED
    assert scope.withheld == {NAMESPACES: "no namespaces for you"}


@pytest.mark.parametrize("resource", [MODEL_DEPLOYMENTS, JOBS])
async def test_a_namespace_that_may_not_be_read_is_left_out(
    resource: Resource, caplog: pytest.LogCaptureFixture
) -> None:
    scope = await found(Server([False], {(resource, "b")}), "a", "b")
    assert scope.namespaces == ("a",)
    assert scope.closed == {"b": f"no {resource.plural} for you"}
    assert "namespace b is left out" in caplog.text


async def test_where_none_may_be_read_none_is_watched_rather_than_all() -> None:
    assert (await found(Server([False], {(JOBS, "a")}), "a")).namespaces == ()


async def test_without_the_right_to_every_namespace_the_setting_is_named(caplog: pytest.LogCaptureFixture) -> None:
    await found(Server([False], {(MODEL_DEPLOYMENTS, None)}))
    assert "MODELWARD_WATCH_NAMESPACES" in caplog.text
