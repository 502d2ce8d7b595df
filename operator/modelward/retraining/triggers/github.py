"""A run as a run of a GitHub Actions workflow (workflow_dispatch), which is known by the run's name in its own title.

GitHub takes a second dispatch for a second run, so it is looked for first (pipeline.py). Artifacts and logs are given
out by a redirect to a store, whose host has to be one that may be called, too.

https://docs.github.com/en/rest/actions
"""

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final

from modelward.api.triggers import Github
from modelward.retraining.lifecycle.briefing import briefing
from modelward.retraining.lifecycle.report import EXAMPLE, ReportError
from modelward.retraining.lifecycle.run import ASKED, BROKE, WORKING, Outcome
from modelward.retraining.triggers.logins import bearer
from modelward.retraining.triggers.outgoing import MAX_LOG, Client, NeverError, NotNowError, objects, path
from modelward.retraining.triggers.pipeline import LookedForTrigger, in_text, still_asked
from modelward.retraining.triggers.trigger import Order
from modelward.values.times import show_time

FIELD: Final = "spec.retrain.github"
HEADERS: Final = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}

REPORT: Final = "report.json"
"""The file in the artifact."""

MAX_ARTIFACT: Final = 1 << 20
MAX_REPORT: Final = 64 << 10
"""Bytes, of the archive and of the file in it."""

PACKED: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How the file may be packed: of others zipfile unpacks at once whatever 64 kB come to, a gigabyte of bzip2's."""

SKEW: Final = 300.0
"""Seconds that GitHub's clock may be behind."""

PAGES: Final = 3
"""Of a hundred runs each, among which ours is looked for."""

UNFOUND: Final = "PipelineUnfound"

_ID: Final = re.compile(r"/actions/runs/([0-9]{1,20})$")


class GithubTrigger(LookedForTrigger):
    async def _start(self, order: Order) -> Outcome:
        asked = _github(order)
        client = await self._client(order, asked)
        known = await _find(client, order, asked)
        if known is not None:
            return Outcome(WORKING, handle=_handle(client, asked, known))
        if not self._looking.long_enough(order.run.key):
            return Outcome(ASKED)
        self._looking.again(order.run.key)
        made = await self._dispatch(client, order, asked)
        return Outcome(WORKING, handle=None if made is None else _handle(client, asked, made))

    async def _dispatch(self, client: Client, order: Order, asked: Github) -> str | None:
        """The id of the run, where GitHub tells it: servers of one's own learnt that late."""
        assert order.target is not None
        told = briefing(order.policy, order.target, order.run)
        inputs = {"run": order.run.name, "briefing": in_text(told)}
        body: dict[str, Any] = {"ref": asked.ref, "inputs": inputs}
        where = f"{_repository(asked)}{path('actions', 'workflows', asked.workflow, 'dispatches')}"
        answer = await client.post(where, {**body, "return_run_details": True}, taken=(404, 422))
        if answer.status == 422 and "return_run_details" in str(answer.object.get("message")):
            answer = await client.post(where, body, taken=(404, 422))
        if answer.status == 404:
            raise NeverError(
                f"GitHub has no workflow {asked.workflow} in {asked.repository} that this token may see; correct "
                f"{FIELD}, or give the token the permission Actions (read and write) on that repository"
            )
        if answer.status == 422:
            raise NeverError(
                f"GitHub does not start {asked.workflow}: {client.told(answer.object.get('message'))}. It needs "
                f"on.workflow_dispatch with the inputs run and briefing, on {asked.ref}"
            )
        found = str(answer.object.get("workflow_run_id") or "")
        return found if found.isdecimal() and len(found) <= 20 else None

    async def _poll(self, order: Order) -> Outcome:
        asked = _github(order)
        client = await self._client(order, asked)
        known = _known(order) or await _find(client, order, asked)
        if known is None:
            told = (
                f"GitHub started a run of {asked.workflow}, and none has {order.run.name} in its title. Write "
                "`run-name: ${{ inputs.run }}` into the workflow"
            )
            return Outcome(WORKING, told, delay=UNFOUND, stuck=self._looking.long_enough(order.run.key))
        run = (await client.get(_run(asked, known))).object
        handle = _handle(client, asked, known)
        if run.get("status") != "completed":
            return Outcome(WORKING, _waiting(run), handle=handle)
        if run.get("conclusion") == "success":
            return await self._succeeded(order, asked.result.source, lambda: _artifact(client, order, asked, known))
        return Outcome(BROKE, await _failure(client, asked, known, client.told(run.get("conclusion"))))

    async def _cancel(self, order: Order) -> None:
        asked = _github(order)
        client = await self._client(order, asked)
        known = _known(order) or await _find(client, order, asked)
        if known is None:
            if not self._looking.long_enough(order.run.key):
                raise NotNowError(f"GitHub shows no run of {asked.workflow} with {order.run.name} in its title yet")
            return
        # 409: it has ended.
        await client.send("POST", f"{_run(asked, known)}/cancel", taken=(409,))

    async def _client(self, order: Order, asked: Github) -> Client:
        entries = await self._logins.entries(order.policy, asked.secret_ref, FIELD)
        return self._outgoing.client(asked.url, f"{FIELD}.url", bearer(entries, asked.secret_ref), HEADERS)


async def _find(client: Client, order: Order, asked: Github) -> str | None:
    """The id of the run whose title has the name of ours."""
    named = re.compile(rf"(?<![\w.-]){re.escape(order.run.name)}(?![\w-])")
    since = show_time(round(order.run.started_at - SKEW))
    for page in range(1, PAGES + 1):
        query = {"event": "workflow_dispatch", "created": f">={since}", "per_page": "100", "page": str(page)}
        where = f"{_repository(asked)}{path('actions', 'workflows', asked.workflow, 'runs')}"
        answer = await client.get(where, query, taken=(404,))
        runs = objects(answer.object.get("workflow_runs"))
        for each in runs:
            if named.search(str(each.get("display_title"))) and str(each.get("id")).isdecimal():
                return str(each["id"])
        if len(runs) < 100:
            break
    return None


async def _artifact(client: Client, order: Order, asked: Github, run: str) -> Any:
    """The report in the artifact. Raises ReportError."""
    name = f"modelward-{order.run.name}"
    answer = await client.get(f"{_run(asked, run)}/artifacts", {"name": name})
    found = [each for each in objects(answer.object.get("artifacts")) if each.get("name") == name]
    if not found:
        raise ReportError(f"it has no artifact {name}; upload one with {REPORT} in it, such as {EXAMPLE}")
    if found[0].get("expired") is True:
        raise ReportError(f"its artifact {name} has expired; keep it for a day at least")
    raw = await client.fetched(
        f"{_repository(asked)}{path('actions', 'artifacts', str(found[0].get('id')), 'zip')}", MAX_ARTIFACT
    )
    return _file_of(raw, name)


def _file_of(raw: bytes, name: str) -> str:
    """The report in an archive. Raises ReportError."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            if archive.getinfo(REPORT).compress_type not in PACKED:
                raise ReportError(f"{REPORT} of its artifact {name} is packed by another method than deflate")
            with archive.open(REPORT) as file:
                # Of what unpacks to gigabytes no more than this is unpacked.
                text = file.read(MAX_REPORT + 1)
    except ReportError:
        raise
    except (zipfile.BadZipFile, zlib.error, KeyError, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
        raise ReportError(f"its artifact {name} is no archive with {REPORT} in it") from None
    if len(text) > MAX_REPORT:
        raise ReportError(f"{REPORT} of its artifact {name} has more than {MAX_REPORT} bytes")
    return text.decode(errors="replace")


async def _failure(client: Client, asked: Github, run: str, conclusion: str) -> str:
    told = f"The run of {asked.workflow} ended as {conclusion}"
    try:
        answer = await client.get(f"{_run(asked, run)}/jobs", {"filter": "latest", "per_page": "100"})
        bad = [each for each in objects(answer.object.get("jobs")) if each.get("conclusion") == "failure"]
        if not bad:
            return told
        steps = [each for each in objects(bad[0].get("steps")) if each.get("conclusion") == "failure"]
        step = f", step {client.told(steps[0].get('name'), 60)}" if steps else ""
        told = f"{told} in the job {client.told(bad[0].get('name'), 60)}{step}"
        where = f"{_repository(asked)}{path('actions', 'jobs', str(bad[0].get('id')), 'logs')}"
        log = (await client.fetched(where, MAX_LOG)).decode(errors="replace")
        return f"{told}{client.end_of(_until_the_error(log))}"
    except NotNowError:
        return told  # that it failed is known; the log is only its why
    except NeverError as error:
        return f"{told}. Its log was not read: {error}"


def _until_the_error(log: str) -> str:
    """Without what cleans up after it."""
    begins = log.rfind("##[error]")
    ends = log.find("\n", begins)
    return log if begins < 0 or ends < 0 else log[:ends]


def _waiting(run: Mapping[str, Any]) -> str:
    waits = run.get("status") in ("waiting", "action_required")
    return "The run waits for an approval in GitHub" if waits else ""


def _github(order: Order) -> Github:
    return still_asked(order, lambda retrain: retrain.github, FIELD)


def _repository(asked: Github) -> str:
    owner, _, name = asked.repository.partition("/")
    return path("repos", owner, name)


def _run(asked: Github, known: str) -> str:
    return f"{_repository(asked)}{path('actions', 'runs', known)}"


def _handle(client: Client, asked: Github, known: str) -> str:
    return f"{client.base}{_run(asked, known)}"


def _known(order: Order) -> str | None:
    found = _ID.search(order.run.handle or "")
    return None if found is None else found[1]
