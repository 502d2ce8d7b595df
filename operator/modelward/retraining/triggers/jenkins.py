"""A run as a build of a Jenkins job, which is known by its parameter MODELWARD_RUN in the queue and among the builds.

Jenkins takes a second request for a second build, so it is looked for first (pipeline.py).

https://www.jenkins.io/doc/book/using/remote-access-api/
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from modelward.api.triggers import Jenkins
from modelward.retraining.lifecycle.briefing import briefing, environment
from modelward.retraining.lifecycle.report import EXAMPLE, ReportError
from modelward.retraining.lifecycle.run import ASKED, BROKE, WORKING, Outcome
from modelward.retraining.triggers.logins import PASSWORD, TOKEN, USER, basic
from modelward.retraining.triggers.outgoing import (
    MAX_LOG,
    MISSING,
    PAUSED,
    Client,
    NeverError,
    NotNowError,
    objects,
    path,
)
from modelward.retraining.triggers.pipeline import LookedForTrigger, in_text, still_asked
from modelward.retraining.triggers.trigger import Order

FIELD: Final = "spec.retrain.jenkins"
RUN, BRIEFING = "MODELWARD_RUN", "MODELWARD_BRIEFING"
"""Parameters; those of a Job's environment are given, too, to jobs that declare them."""

BUILDS: Final = 100
"""Of the latest, among which ours is looked for."""

FORM: Final = "application/x-www-form-urlencoded"
DONE: Final = (301, 302, 303)
"""How Jenkins answers what it has done, besides 2xx: by a redirect to a page."""

_CRUMB: Final = re.compile(r"(?=.*crumb)[A-Za-z.-]{1,64}", re.IGNORECASE)
"""Names of headers that a crumb may be sent in: whoever answers for Jenkins must not write any other, such as Host, by
which a proxy before many systems takes a request for another one's."""

_QUEUED: Final = re.compile(r"/queue/item/([0-9]{1,12})/?$")
_BUILD: Final = re.compile(r"/job/[^/]+/([0-9]{1,9})/?$")


class JenkinsTrigger(LookedForTrigger):
    async def _start(self, order: Order) -> Outcome:
        asked = _jenkins(order)
        client = await self._client(order, asked)
        declared = await _parameters(client, asked)
        known = await _find(client, order, asked)
        if known is not None:
            return Outcome(WORKING, handle=known)
        if not self._looking.long_enough(order.run.key):
            return Outcome(ASKED)
        assert order.target is not None
        told = briefing(order.policy, order.target, order.run)
        given = {**environment(told), RUN: order.run.name, BRIEFING: in_text(told)}
        form = {name: value for name, value in given.items() if name in declared}
        self._looking.again(order.run.key)
        answer = await _post(client, f"{_job(asked)}/buildWithParameters", form)
        # The address is Jenkins' own idea of itself: its number alone is taken.
        queued = _QUEUED.search(answer.get("location", ""))
        return Outcome(WORKING, handle=None if queued is None else _item(client, queued[1]))

    async def _poll(self, order: Order) -> Outcome:
        asked = _jenkins(order)
        client = await self._client(order, asked)
        handle = order.run.handle or await _find(client, order, asked)
        queued = _QUEUED.search(handle or "")
        if queued is not None:
            return await self._in_queue(client, order, asked, queued[1])
        build = _BUILD.search(handle or "")
        if build is None:
            raise NeverError(f"Jenkins has no build of {asked.job} with {RUN}={order.run.name}: somebody removed it")
        number = build[1]
        found = (await client.get(f"{_build(asked, number)}/api/json", {"tree": "building,result"})).object
        result = found.get("result")
        shown = f"{client.base}{_build(asked, number)}/"
        if found.get("building") is True or result is None:
            return Outcome(WORKING, handle=shown)
        if result == "SUCCESS":
            return await self._succeeded(order, asked.result.source, lambda: _artifact(client, asked, number))
        return Outcome(BROKE, f"The build ended as {client.told(result)}{await _end_of_log(client, asked, number)}")

    async def _in_queue(self, client: Client, order: Order, asked: Jenkins, item: str) -> Outcome:
        answer = await client.get(f"/queue/item/{item}/api/json", taken=(404,))
        begun = answer.object.get("executable")
        number = begun.get("number") if isinstance(begun, Mapping) else None
        if isinstance(number, int):
            return Outcome(WORKING, handle=f"{client.base}{_build(asked, str(number))}/")
        if answer.object.get("cancelled") is True:
            return Outcome(BROKE, "The build was taken out of Jenkins' queue before it began")
        if answer.status != 404:
            why = client.told(answer.object.get("why") or "")
            return Outcome(WORKING, f"In Jenkins' queue: {why}" if why else "")
        # It left the queue minutes ago, and Jenkins does not know any more where to.
        known = await _find(client, order, asked)
        if known is None:
            raise NeverError(f"Jenkins has no build of {asked.job} with {RUN}={order.run.name}: somebody removed it")
        return Outcome(WORKING, handle=known)

    async def _cancel(self, order: Order) -> None:
        asked = _jenkins(order)
        client = await self._client(order, asked)
        handle = order.run.handle or ""
        queued = _QUEUED.search(handle)
        if queued is not None or not _BUILD.search(handle):
            # It may be building by now.
            handle = await _find(client, order, asked) or ""
            queued = _QUEUED.search(handle)
        build = _BUILD.search(handle)
        if queued is not None:
            await _post(client, "/queue/cancelItem", {"id": queued[1]})
        elif build is not None:
            found = (await client.get(f"{_build(asked, build[1])}/api/json", {"tree": "building,result"})).object
            if found.get("building") is True:
                await _post(client, f"{_build(asked, build[1])}/stop", {})
        elif not self._looking.long_enough(order.run.key):
            raise NotNowError(f"Jenkins shows no build of {asked.job} with {RUN}={order.run.name} yet")

    async def _client(self, order: Order, asked: Jenkins) -> Client:
        entries = await self._logins.entries(order.policy, asked.secret_ref, FIELD)
        if USER not in entries:
            told = f"The Secret {asked.secret_ref.name} has no entry {USER}: Jenkins wants one beside the {TOKEN}"
            raise NotNowError(f"{told}; write it there", MISSING, stuck=True)
        password = entries.get(TOKEN) or entries[PASSWORD]
        return self._outgoing.client(asked.url, f"{FIELD}.url", basic(entries[USER], password, asked.secret_ref))


async def _post(client: Client, where: str, form: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of the answer, by their names in small letters. With a crumb, where Jenkins wants one: it does for
    passwords."""
    issued = await client.get("/crumbIssuer/api/json", taken=(404,))
    headers = {}
    name, crumb = issued.object.get("crumbRequestField"), issued.object.get("crumb")
    if isinstance(name, str) and isinstance(crumb, str) and _CRUMB.fullmatch(name):
        headers[name] = _in_header(crumb)
        # A crumb counts in the session that it was issued in.
        headers |= {"Cookie": _in_header(issued.cookie)} if issued.cookie else {}
    answer = await client.send("POST", where, urlencode(form), kind=FORM, headers=headers, taken=DONE)
    return answer.headers


def _in_header(text: str) -> str:
    """What may be sent in a header: nothing that begins another one."""
    return "".join(each for each in text if each.isascii() and each.isprintable())[:1024]


async def _parameters(client: Client, asked: Jenkins) -> set[str]:
    """That the job declares; any other is dropped by Jenkins. Raises NeverError where it could not be found again."""
    query = {"tree": "buildable,property[parameterDefinitions[name]]"}
    answer = await client.get(f"{_job(asked)}/api/json", query, taken=(404,))
    if answer.status == 404:
        raise NeverError(f"Jenkins has no job {asked.job} that this login may see; correct {FIELD}.job")
    if answer.object.get("buildable") is False:
        raise NotNowError(f"The job {asked.job} is disabled in Jenkins; enable it", PAUSED, stuck=True)
    declared = {
        str(each.get("name"))
        for part in objects(answer.object.get("property"))
        for each in objects(part.get("parameterDefinitions"))
    }
    if RUN not in declared:
        raise NeverError(
            f"The Jenkins job {asked.job} has no parameter {RUN}, by which its build is known; declare it (a string), "
            "and run a Pipeline once by hand, so that Jenkins knows it"
        )
    return declared


async def _find(client: Client, order: Order, asked: Jenkins) -> str | None:
    """Where the build is, in the queue or begun, by the parameter."""
    # First the queue: what leaves it meanwhile is among the builds then.
    tree = "items[id,task[url],actions[parameters[name,value]]]"
    queue = objects((await client.get("/queue/api/json", {"tree": tree})).object.get("items"))
    for each in queue:
        if _has(each, order) and isinstance(each.get("id"), int) and _is_task(each.get("task"), asked):
            return _item(client, str(each["id"]))
    tree = f"builds[number,actions[parameters[name,value]]]{{0,{BUILDS}}}"
    builds = objects((await client.get(f"{_job(asked)}/api/json", {"tree": tree})).object.get("builds"))
    for each in builds:
        if _has(each, order) and isinstance(each.get("number"), int):
            return f"{client.base}{_build(asked, str(each['number']))}/"
    return None


def _has(item: Mapping[str, Any], order: Order) -> bool:
    return any(
        each.get("name") == RUN and each.get("value") == order.run.name
        for action in objects(item.get("actions"))
        for each in objects(action.get("parameters"))
    )


def _is_task(task: Any, asked: Jenkins) -> bool:
    return isinstance(task, Mapping) and str(task.get("url")).rstrip("/").endswith(_job(asked))


async def _artifact(client: Client, asked: Jenkins, number: str) -> Any:
    """The report among the artifacts. Raises ReportError."""
    where = path("artifact", *asked.result.artifact.split("/"))
    answer = await client.get(f"{_build(asked, number)}{where}", taken=(404,))
    if answer.status == 404:
        raise ReportError(
            f"the build has no artifact {asked.result.artifact}; let it archive one such as {EXAMPLE}, or correct "
            f"{FIELD}.result"
        )
    return answer.body.decode(errors="replace")


async def _end_of_log(client: Client, asked: Jenkins, number: str) -> str:
    try:
        answer = await client.send("GET", f"{_build(asked, number)}/consoleText", most=MAX_LOG)
    except (NotNowError, NeverError):
        return ""  # that it failed is known; the log is only its why
    return client.end_of(answer.body.decode(errors="replace"))


def _jenkins(order: Order) -> Jenkins:
    return still_asked(order, lambda retrain: retrain.jenkins, FIELD)


def _job(asked: Jenkins) -> str:
    return "".join(path("job", each) for each in asked.job.split("/"))


def _build(asked: Jenkins, number: str) -> str:
    return f"{_job(asked)}/{number}"


def _item(client: Client, number: str) -> str:
    return f"{client.base}/queue/item/{number}/"
