"""What each system has of its own, beyond the contract of all."""

import io
import json
import tracemalloc
import zipfile
from typing import Any

import pytest
from aiohttp import web

from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.report import ReportError
from modelward.retraining.triggers.github import _file_of
from modelward.retraining.triggers.outgoing import MAX_LOG, Client, Login, NeverError, Outgoing, path
from modelward.retraining.triggers.pipeline import SETTLE, in_text

from .airflow import Airflow
from .cluster import ArgoWorkflow
from .github import Github
from .jenkins import JOB, Jenkins
from .kubeflow import PIPELINE, Kubeflow
from .prefect import Prefect
from .world import LOG, LOG_END, MADE, NAME, REPORT, TOKEN, Serve, World, tells_no_secret
from .world import report as shown


async def ended(world: World, report: Any = None, **fields: Any) -> str:
    """Run it to its end, and return its message."""
    await world.until(runs.RUNNING)
    world.system.go_on("good", report, **fields)
    await world.until(runs.ENDED, runs.ROLLING_OUT)
    return world.run.message


async def test_the_dag_is_told_what_the_run_is_for(serve: Serve) -> None:
    system = Airflow()
    world = await serve(system)
    await world.until(runs.RUNNING)
    told = system.runs[f"modelward__{NAME}"]["conf"]["modelward"]
    assert (told["run"], told["model"], told["modelUri"], told["trigger"]) == (
        NAME, "fraud", "s3://models/fraud/1/fraud.tar", "Drift",
    )  # fmt: skip
    assert world.run.handle == f"{system.server.url}/dags/retrain/runs/modelward__{NAME}"


async def test_an_xcom_of_an_earlier_run_is_not_this_ones(serve: Serve) -> None:
    """Airflow answers with it where it is not told otherwise, and one that does not know the question, anyway."""
    system = Airflow()
    world = await serve(system)
    system.xcoms["modelward__another", "report", "return_value"] = {"modelUri": "s3://old"}
    assert "has no XCom return_value" in await ended(world)

    class Old(Airflow):
        async def xcom(self, request: Any) -> Any:
            return await super().xcom(request.clone(rel_url=request.rel_url.with_query({})))

    world = await serve(Old())
    assert "has no XCom return_value" in await ended(world)


async def test_an_xcom_may_be_a_text(serve: Serve) -> None:
    """As a task returns it, or as Airflow stores that: a text in a text."""
    for value in (shown(REPORT), shown(shown(REPORT))):
        world = await serve(Airflow())
        await ended(world, value)
        assert world.run.model.uri == MADE


async def test_another_task_and_key_are_read_where_spec_names_them(serve: Serve) -> None:
    system = Airflow()
    world = await serve(system, result={"task": "train", "key": "model"})
    await world.until(runs.RUNNING)
    system.xcoms[f"modelward__{NAME}", "train", "model"] = REPORT
    await ended(world)
    assert world.run.model.uri == MADE


@pytest.mark.parametrize("make", [Airflow, Prefect])
async def test_what_is_paused_is_told_and_waited_for(serve: Serve, make: Any) -> None:
    system = make()
    world, system.paused = await serve(system), True
    await world.step()
    assert (world.run.phase, world.run.delay, world.run.stuck) == (runs.STARTING, "PipelinePaused", True)
    assert system.begun() == 0
    system.paused = False
    await world.until(runs.RUNNING)


async def test_airflow_is_asked_for_one_token_and_not_for_each_question(serve: Serve) -> None:
    system = Airflow()
    world = await serve(system)
    await world.until(runs.RUNNING)
    for _ in range(5):
        await world.step()
    assert len(system.jwts) == 1
    system.jwts.clear()  # they last for a day
    await world.step()
    assert (world.run.delay, len(system.jwts)) == ("", 1), "a new one is got without a word"


async def test_a_token_that_somebody_gives_is_used_as_it_is(serve: Serve) -> None:
    system = Airflow()
    system.jwts[TOKEN] = TOKEN
    system.api.given["pipeline"] = {"token": TOKEN}
    world = await serve(system)
    await world.until(runs.RUNNING)
    assert "/auth/token" not in [path for _, path, _ in system.server.seen]


async def test_a_run_that_has_ended_is_not_made_a_failed_one(serve: Serve) -> None:
    system = Airflow()
    world = await serve(system)
    await world.until(runs.RUNNING)
    system.go_on("good", REPORT)
    assert await world.stop()
    assert system.runs[f"modelward__{NAME}"]["state"] == "success"


async def test_a_dag_that_is_not_there_is_a_failure_that_names_the_field(serve: Serve) -> None:
    world = await serve(Airflow(), dag="retrian")
    await world.step()
    assert (world.run.result, "spec.retrain.airflow.dag" in world.run.message) == (runs.FAILED, True)


async def test_a_deployment_may_be_named_by_its_id(serve: Serve) -> None:
    world = await serve(Prefect(), deployment="5f0e7a52-0000-4000-8000-000000000001", parameter="told")
    await world.until(runs.RUNNING)
    (made,) = world.system.runs.values()
    assert (made["parameters"]["told"]["model"], made["idempotency_key"]) == ("fraud", world.run.key)


@pytest.mark.parametrize("field", ["message", "data"])
async def test_a_state_may_have_the_report(serve: Serve, field: str) -> None:
    system = Prefect()
    world = await serve(system)
    await world.until(runs.RUNNING)
    for each in system.runs.values():
        each["state"] = {"type": "COMPLETED", field: shown(REPORT) if field == "message" else REPORT}
    await world.until(runs.ROLLING_OUT)
    assert world.run.model.uri == MADE


async def test_an_artifact_of_another_flow_run_is_not_this_ones(serve: Serve) -> None:
    class Careless(Prefect):
        async def find_artifacts(self, _request: Any) -> Any:
            return web.json_response(self.artifacts)

    system = Careless()
    world = await serve(system)
    system.artifacts.append({"key": "modelward-report", "flow_run_id": "another", "data": shown(REPORT)})
    assert "has no artifact modelward-report" in await ended(world)


async def test_one_that_was_cancelled_there_is_a_failure(serve: Serve) -> None:
    system = Prefect()
    world = await serve(system)
    await world.until(runs.RUNNING)
    for each in system.runs.values():
        each["state"] = {"type": "CANCELLED"}
    await world.until(runs.ENDED)
    assert (world.run.result, world.run.message) == (runs.FAILED, "The flow run was cancelled in Prefect")


async def test_prefect_needs_no_login_where_it_has_none(serve: Serve) -> None:
    system = Prefect()
    world = await serve(system, secretRef=None)
    system.server.tokens = {""}
    await world.until(runs.RUNNING)
    assert not any("Authorization" in headers for _, _, headers in system.server.seen)


async def test_a_run_of_github_is_looked_for_before_it_is_started(serve: Serve) -> None:
    """GitHub shows a new run late: an operator that died may have started one that nobody sees yet."""
    system = Github()
    world = await serve(system)
    while not system.runs:
        await world.step()
    assert SETTLE <= world.now - world.run.started_at <= SETTLE + 10
    lists = [path for method, path, _ in system.server.seen if method == "GET" and path.endswith("/runs")]
    assert len(lists) >= 3


@pytest.mark.parametrize("late", [0, 2, 3])
async def test_a_github_that_does_not_tell_which_run_it_started_is_searched(serve: Serve, late: int) -> None:
    """Servers of one's own answer with 204."""
    system = Github()
    system.tells, system.late = False, late
    world = await serve(system)
    await world.until(runs.RUNNING)
    assert not world.run.handle
    for _ in range(late + 1):
        await world.step()
    assert (world.run.handle, world.run.delay) == (
        f"{system.server.url}/api/v3/repos/acme/models/actions/runs/1000",
        "",
    )
    await ended(world, REPORT)
    assert (world.run.model.uri, system.begun()) == (MADE, 1)


async def test_an_older_server_that_does_not_know_the_question_is_asked_without_it(serve: Serve) -> None:
    class Older(Github):
        async def dispatch(self, request: Any) -> Any:
            if "return_run_details" in await request.json():
                told = 'Invalid request.\n\n"return_run_details" is not a permitted key.'
                return web.json_response({"message": told}, status=422)
            return await super().dispatch(request)

    world = await serve(Older())
    await world.until(runs.RUNNING)
    assert world.system.begun() == 1


async def test_a_run_without_a_title_is_told_how_to_get_one(serve: Serve) -> None:
    system = Github()
    system.tells = False
    world = await serve(system)
    await world.until(runs.RUNNING)
    system.runs[1000]["display_title"] = "Retrain"
    for _ in range(5):
        await world.step()
    assert (world.run.delay, world.run.stuck) == ("PipelineUnfound", True)
    assert "run-name: ${{ inputs.run }}" in world.run.message


async def test_a_store_that_the_administrator_does_not_name_is_not_asked(serve: Serve) -> None:
    system = Github()
    world = await serve(system)
    await world.until(runs.RUNNING)
    other = system.server.url.replace("127.0.0.1", "localhost")

    real = system.server.url
    system.server.url = other  # where its redirects lead to
    system.go_on("bad", log=LOG)
    await world.until(runs.ENDED)
    system.server.url = real
    assert "Its log was not read: The operator may not call localhost" in world.run.message
    assert not [path for _, path, _ in system.server.seen if path.startswith("/store")]


@pytest.mark.parametrize("leads", ["https://[x", "//", "http://127.0.0.1:99999/", "file:///etc/passwd", ""])
async def test_a_redirect_to_no_store_at_all_is_a_log_that_was_not_read(serve: Serve, leads: str) -> None:
    class Odd(Github):
        async def redirect(self, _request: Any) -> Any:
            return web.Response(status=302, headers={"Location": leads})

    world = await serve(Odd())
    await world.until(runs.RUNNING)
    world.system.go_on("bad", log=LOG)
    await world.until(runs.ENDED)
    assert world.run.message.startswith("The run of retrain.yml ended as failure in the job retrain, step train")
    assert "root:" not in world.run.message


async def test_the_stores_address_is_told_to_nobody(serve: Serve) -> None:
    """It is signed: who has it has the log."""

    class Broken(Github):
        async def store(self, _request: Any) -> Any:
            return web.Response(status=404, text="no")

    world = await serve(Broken())
    await world.until(runs.RUNNING)
    world.system.go_on("bad", log=LOG)
    await world.until(runs.ENDED)
    tells_no_secret(world)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"no archive", "is no archive with report.json"),
        ("other.json", "is no archive with report.json"),
        ("report.json", "more than 65536 bytes"),
    ],
)
async def test_an_artifact_that_is_none_or_unpacks_to_too_much_is_a_failure(
    serve: Serve, raw: bytes | str, told: str
) -> None:
    if isinstance(raw, str):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(raw, b" " * (64 << 20))
        raw = packed.getvalue()
    system = Github()
    world = await serve(system)
    await world.until(runs.RUNNING)
    system.go_on("good")
    system.artifacts[1000] = raw
    await world.until(runs.ENDED)
    assert (world.run.result, told in world.run.message) == (runs.FAILED, True)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_unpacks_without_a_bound_is_not_unpacked(method: int) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("report.json", b" " * (64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(ReportError, match="another method"):
            _file_of(packed.getvalue(), "modelward-x")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_an_artifact_whose_file_is_damaged_is_told_of() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.json", bytes(range(256)) * 8)
    raw = bytearray(packed.getvalue())
    raw[41:60] = b"\xff" * 19  # of the packed bytes, behind the header and the name
    with pytest.raises(ReportError, match="no archive"):
        _file_of(bytes(raw), "modelward-x")


async def test_github_that_is_asked_too_often_is_waited_for(serve: Serve) -> None:
    class Limited(Github):
        limited = False

        async def get(self, request: Any) -> Any:
            if self.limited:
                headers = {"X-RateLimit-Remaining": "0"}
                return web.json_response({"message": "API rate limit exceeded"}, status=403, headers=headers)
            return await super().get(request)

    system = Limited()
    world = await serve(system)
    await world.until(runs.RUNNING)
    system.limited = True
    await world.step()
    assert (world.run.delay, world.run.stuck) == ("PipelineSilent", False)


@pytest.mark.parametrize("name", ["Host", "Transfer-Encoding", "X-Forwarded-Host"])
async def test_who_answers_for_jenkins_writes_no_header_but_that_of_a_crumb(serve: Serve, name: str) -> None:
    posted = []

    @web.middleware
    async def noted(request: Any, handler: Any) -> Any:
        posted.extend([request.headers] if request.method == "POST" else [])
        return await handler(request)

    class Sly(Jenkins):
        def application(self) -> web.Application:
            app = super().application()
            app.middlewares.insert(0, noted)
            return app

        async def crumb(self, _request: Any) -> Any:
            return web.json_response({"crumb": "other.example.com", "crumbRequestField": name})

    system = Sly()
    world = await serve(system)
    for _ in range(40):
        if posted:
            break
        world.now += SETTLE
        await world.step()
    assert posted
    assert "other.example.com" not in str(dict(posted[0]))


async def test_a_job_of_jenkins_without_the_parameter_is_not_started(serve: Serve) -> None:
    """Jenkins would drop it, and nobody could find the build again."""
    system = Jenkins()
    system.declared = ["OTHER"]
    world = await serve(system)
    await world.step()
    assert (world.run.result, "declare it" in world.run.message, system.begun()) == (runs.FAILED, True, 0)


async def test_jenkins_is_given_what_its_job_declares_and_no_more(serve: Serve) -> None:
    system = Jenkins()
    system.declared = ["MODELWARD_RUN", "MODELWARD_MODEL_URI", "OTHER"]
    world = await serve(system)
    await world.until(runs.RUNNING)
    (item,) = system.items.values()
    given = {each["name"]: each["value"] for each in item["actions"][0]["parameters"]}
    assert given == {"MODELWARD_RUN": NAME, "MODELWARD_MODEL_URI": "s3://models/fraud/1/fraud.tar"}


async def test_a_build_that_waits_is_taken_out_of_the_queue(serve: Serve) -> None:
    system = Jenkins()
    world = await serve(system)
    await world.until(runs.RUNNING)
    await world.step()
    assert world.run.message == "In Jenkins' queue: Waiting for next available executor"
    assert await world.stop()
    assert [each["cancelled"] for each in system.items.values()] == [True]
    await world.until(runs.ENDED)
    assert "taken out of Jenkins' queue" in world.run.message


async def test_a_build_whose_place_in_the_queue_is_forgotten_is_found_among_the_builds(serve: Serve) -> None:
    """Jenkins knows where an item went for some minutes only."""
    system = Jenkins()
    world = await serve(system)
    await world.until(runs.RUNNING)
    system.go_on("running")
    system.items.clear()
    await world.step()
    assert world.run.handle == f"{system.server.url}{JOB}/31/"
    system.builds[31] |= {"building": False, "result": "SUCCESS"}
    system.artifact = REPORT
    await world.until(runs.ROLLING_OUT)


async def test_no_cookie_of_one_login_is_sent_with_another(serve: Serve) -> None:
    system = Jenkins()
    world = await serve(system)
    await world.until(runs.RUNNING)
    assert any("Cookie" in headers for method, _, headers in system.server.seen if method == "POST")
    assert not any("Cookie" in headers for method, _, headers in system.server.seen if method == "GET")


@pytest.mark.parametrize("nested", [False, True])
async def test_kubeflow_is_given_what_its_pipeline_declares_and_no_more(serve: Serve, nested: bool) -> None:
    """It refuses others. A spec with what is of its platform has the pipeline's own within."""
    system = Kubeflow()
    system.declared, system.nested = ["modelward_run", "data"], nested
    world = await serve(system, pipeline=PIPELINE, experiment="1d0e7a52-0000-4000-8000-000000000001")
    await world.until(runs.RUNNING)
    (made,) = system.runs.values()
    assert made["runtime_config"]["parameters"] == {"modelward_run": NAME}
    assert (made["display_name"], made["experiment_id"]) == (NAME, "1d0e7a52-0000-4000-8000-000000000001")
    assert not [path for _, path, _ in system.server.seen if "/names/" in path], "its id was given"


async def test_a_pipeline_of_kubeflow_without_the_parameter_is_not_started(serve: Serve) -> None:
    """Nobody would know which version it registered."""
    system = Kubeflow()
    system.declared = ["modelward_briefing"]
    world = await serve(system)
    await world.step()
    assert (world.run.result, "no parameter modelward_run" in world.run.message) == (runs.FAILED, True)
    assert system.begun() == 0


async def test_a_pipeline_that_kubeflow_lacks_is_a_failure_that_names_the_field(serve: Serve) -> None:
    world = await serve(Kubeflow(), pipeline="retrian")
    await world.step()
    assert (world.run.result, "correct spec.retrain.kubeflow" in world.run.message) == (runs.FAILED, True)


async def test_a_run_belongs_to_the_default_experiment_of_its_teams_namespace(serve: Serve) -> None:
    """Where Kubeflow has a namespace for each team, it takes no run without an experiment."""
    system = Kubeflow()
    ours = "1d0e7a52-0000-4000-8000-000000000001"
    system.experiments = {("other", "Default"): "1d0e7a52-0000-4000-8000-000000000002", ("ml", "Default"): ours}
    world = await serve(system, namespace="ml")
    await world.until(runs.RUNNING)
    (made,) = system.runs.values()
    assert made["experiment_id"] == ours


async def test_a_namespace_of_kubeflow_without_the_experiment_is_a_failure_that_names_the_field(serve: Serve) -> None:
    system = Kubeflow()
    system.experiments = {("other", "Default"): "1d0e7a52-0000-4000-8000-000000000002"}
    world = await serve(system, namespace="ml")
    await world.step()
    assert world.run.result == runs.FAILED
    assert "no experiment Default in ml" in world.run.message
    assert "spec.retrain.kubeflow.experiment" in world.run.message


async def test_a_run_of_kubeflow_that_registered_nothing_is_a_failure(serve: Serve) -> None:
    assert f"ended well, but no version of fraud has the tag modelward.run={NAME}" in await ended(
        await serve(Kubeflow())
    )


@pytest.mark.parametrize("state", ["CANCELED", "SKIPPED"])
async def test_a_run_of_kubeflow_that_made_nothing_is_a_failure(serve: Serve, state: str) -> None:
    world = await serve(Kubeflow())
    await world.until(runs.RUNNING)
    for each in world.system.runs.values():
        each["state"] = state
    assert await world.stop(), "there is nothing to stop"
    await world.until(runs.ENDED)
    assert (world.run.result, world.run.message) == (runs.FAILED, f"The run of Kubeflow ended as {state}")


async def test_a_cluster_without_argo_is_told(serve: Serve) -> None:
    system = ArgoWorkflow()
    system.api.has_workflows = False
    world = await serve(system)
    await world.step()
    assert (world.run.result, "has no Argo Workflows" in world.run.message) == (runs.FAILED, True)


@pytest.mark.parametrize("when", [runs.STARTING, runs.RUNNING])
async def test_a_right_to_workflows_that_was_taken_away_is_told_and_the_run_goes_on_with_it(
    serve: Serve, when: str
) -> None:
    world = await serve(ArgoWorkflow())
    if when == runs.RUNNING:
        await world.until(runs.RUNNING)
        world.system.go_on("running")
    world.system.api.refuses = 403
    await world.step()
    assert (world.run.phase, world.run.delay, world.run.stuck) == (when, "CredentialsRefused", True)
    assert "the rule for workflows of manifests/base/rbac.yaml" in world.run.message
    assert not await world.stop()
    world.system.api.refuses = None
    await world.until(runs.RUNNING)
    world.system.go_on("good", REPORT)
    await world.until(runs.ROLLING_OUT)
    assert world.system.begun() == 1


async def test_a_workflow_is_the_runs_own(serve: Serve) -> None:
    system = ArgoWorkflow()
    world = await serve(system, serviceAccountName="train")
    await world.until(runs.RUNNING)
    made = system.api.there[NAME]
    assert made["metadata"]["ownerReferences"][0]["uid"] == "r"
    assert made["metadata"]["labels"]["modelward.io/run"] == NAME
    spec = made["spec"]
    assert (spec["workflowTemplateRef"], spec["serviceAccountName"]) == ({"name": "retrain"}, "train")
    assert spec["activeDeadlineSeconds"] == 6 * 3600
    parameters = {each["name"]: each["value"] for each in spec["arguments"]["parameters"]}
    assert parameters["modelward-run"] == NAME
    assert '"model": "fraud"' in parameters["modelward-briefing"]


async def test_a_workflow_of_somebody_else_under_the_runs_name_is_not_touched(serve: Serve) -> None:
    system = ArgoWorkflow()
    world = await serve(system)
    system.api.there[NAME] = {"metadata": {"name": NAME, "uid": "w"}}
    assert await world.stop()
    await world.step()
    assert (world.run.result, "not of this run" in world.run.message) == (runs.FAILED, True)
    assert system.api.stopped == []


def test_a_briefing_that_is_too_long_for_an_input_goes_without_its_evidence() -> None:
    told = {"run": NAME, "evidence": {"drifted": ["amount"]}}
    assert json.loads(in_text(told)) == told
    long = {"run": NAME, "evidence": {"drifted": ["x" * 1024] * 100}}
    assert json.loads(in_text(long)) == {"run": NAME, "evidence": {"leftOut": True}}


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_no_name_climbs_out_of_its_address(name: str) -> None:
    with pytest.raises(NeverError, match=r"spec\.retrain"):
        path("job", name)
    assert path("a/b", "c?d#e%2e") == "/a%2Fb/c%3Fd%23e%252e"


def client(secret: str = TOKEN) -> Client:
    return Client(Outgoing(None, ()), "https://ci", "spec.retrain.x", Login("Bearer x", "", (secret,)), {})  # type: ignore[arg-type]


def test_the_end_of_a_log_is_told_without_what_is_secret_of_it() -> None:
    log = "x" * MAX_LOG + f"\n{TOKEN}\nhttps://store/a?sig=hidden\n{LOG_END}\n"
    told = client().end_of(log)
    assert told.endswith(f"*** https://store/a {LOG_END}")
    blanks = " " * 20_000
    assert client().end_of(f"{blanks}{TOKEN[4:]}") == f". The end of its log: {TOKEN[4:]}", "not the token"
    assert "hidden" not in client().end_of(f"https://store/{'a' * 9000}?sig=hidden\n{LOG_END}")
    assert client("").end_of("as it is") == ". The end of its log: as it is"
    assert client().end_of("\n ") == ""
