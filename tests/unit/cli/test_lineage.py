"""`modelward lineage` as a program: what it tells of a model, a revision and a request."""

import os
import uuid
from pathlib import Path

import pytest

from modelward_inference.capture.requests import Requests
from modelward_monitor.answered import Answered

from .world import EIGHT, OLD, SEVEN, VARIANT, A, B, Namespace, deployment, pod, record


@pytest.fixture
def namespace(tmp_path: Path) -> Namespace:
    return Namespace(tmp_path)


def answered(
    namespace: Namespace, of: str, request_id: str, arm: str = "stable", time: float = 1_767_300_000.0
) -> None:
    """A monitor remembers it."""
    made = Answered(namespace.monitors / of / "answered")
    made.note(Requests([request_id], [None], [arm], [1], [0], [time], [0.1]))
    made.flush()
    made.close()


def test_a_model_is_told_with_all_that_serves_it_and_what_was_before(namespace: Namespace) -> None:
    told = namespace.json("fraud")
    assert (told["schemaVersion"], told["asked"], told["namespace"]) == (1, {"kind": "Model", "name": "fraud"}, "ml")
    stable, candidate, variant = told["revisions"]
    assert [each["revision"] for each in told["revisions"]] == [A, B, VARIANT]
    assert [each["role"] for each in told["revisions"]] == ["stable", "candidate", "variant b"]
    assert {
        "model": "fraud", "version": "7", "alias": None, "registry": None, "run": SEVEN["runId"],
        "loggedModel": "m-8c84",
        "commit": SEVEN["commit"], "repository": SEVEN["repository"], "registeredBy": "alice", "approvedBy": "bob",
        "commitUrl": f"https://github.com/acme/fraud/commit/{SEVEN['commit']}", "approval": "looks good",
        "dataSets": SEVEN["dataSets"], "parameters": SEVEN["parameters"], "metrics": SEVEN["metrics"],
        "stableSince": "2026-01-01T00:00:00Z", "stableUntil": None, "gone": False, "weight": 70,
        "artifact": {"uri": "s3://m/7", "digest": "sha256:7", "format": "auto", "signedBy": "sha256:k"},
    }.items() <= stable.items()  # fmt: skip
    assert (stable["before"]["revision"], stable["before"]["gone"], stable["before"]["version"]) == (OLD, True, "6")
    assert stable["before"]["stableUntil"] == "2026-01-01T00:00:00Z"
    assert {(each["what"], each["before"], each["now"]) for each in stable["differences"]} == {
        ("version", "6", "7"), ("uri", "s3://m/6", "s3://m/7"), ("digest", "sha256:6", "sha256:7"),
        ("run", "aaaa", SEVEN["runId"]), ("commit", "1" * 40, SEVEN["commit"]), ("dataSets.train", "d6", "d7"),
        ("parameters.max_depth", "3", "4"), ("metrics.auc", "0.91", "0.93"), ("signedBy", None, "sha256:k"),
        ("format", None, "auto"),
    }  # fmt: skip
    assert (candidate["alias"], candidate["registry"], candidate["run"]) == ("champion", "mlflow", "8888")
    assert candidate["before"]["revision"] == A, "what is stable now"
    assert (variant["weight"], variant["mirrorPercent"], variant["parameters"]) == (5, 10, {})


def test_a_version_that_a_run_reported_is_told_with_its_registry(namespace: Namespace) -> None:
    body = deployment()
    told = {**body["status"]["model"], "source": "RetrainingRun", "run": "retrain-1"}
    told["reference"] = {**told["reference"], "version": "7"}  # of what spec names, which is another one
    told["registration"] = {"uri": "models:/fraud/8", "registry": "models", "address": "http://mlflow"}
    body["status"]["model"] = told
    namespace.holds("modeldeployments.modelward.io", body)
    (found,) = namespace.json(B)["revisions"]
    assert (found["alias"], found["registry"], found["retrainingRun"]) == (None, "models", "retrain-1")
    assert (found["run"], found["registeredBy"]) == ("8888", "alice")


def test_the_feature_service_that_features_are_looked_up_by_is_told(namespace: Namespace) -> None:
    """The stable's by its status, the candidate's by its record, and that of what is gone by status.previous."""
    body = deployment()
    body["status"]["stable"]["features"] = {"service": "drivers_v2", "digest": "sha256:2"}
    body["status"]["previous"][0]["features"] = {"service": "drivers_v1"}
    namespace.holds("modeldeployments.modelward.io", body)
    kept = record(B, "8", EIGHT)
    kept["data"]["asked"] = {"features": {"service": "drivers_v3", "url": "http://feast"}}
    namespace.holds("controllerrevisions.apps", record(A, "7", SEVEN, 2), kept)
    stable, candidate, variant = namespace.json("fraud")["revisions"]
    assert stable["features"] == {"service": "drivers_v2", "digest": "sha256:2"}
    assert stable["before"]["features"] == {"service": "drivers_v1", "digest": None}
    assert {each["what"]: (each["before"], each["now"]) for each in stable["differences"]}.items() >= {
        "features.service": ("drivers_v1", "drivers_v2"), "features.digest": (None, "sha256:2"),
    }.items()  # fmt: skip
    assert (candidate["features"], variant["features"]) == ({"service": "drivers_v3", "digest": None}, None)
    lines = namespace.text("fraud").splitlines()
    assert "  features        drivers_v2 sha256:2" in lines
    assert "  features        drivers_v3 (its definitions are not pinned)" in lines


def test_a_person_reads_it(namespace: Namespace) -> None:
    told = namespace.text("fraud")
    for line in (
        f"{A}  the stable revision of fraud, 70 % of the requests",
        "  model           fraud version 7",
        "  model           fraud version 8 (alias champion, registry mlflow)",
        "  stable          since 2026-01-01T00:00:00Z",
        "  artifact        s3://m/7 sha256:7",
        f"  commit          {SEVEN['commit']} https://github.com/acme/fraud/commit/{SEVEN['commit']}",
        "  data sets       train    d7",
        "                  holdout  h1",
        "  registered by   alice",
        "  approved by     bob: looks good",
        f"  before it: {OLD} version 6  since 2025-12-01T00:00:00Z until 2026-01-01T00:00:00Z  (gone)",
    ):
        assert line in told.splitlines(), told
    table = told.split(f"before it: {OLD}")[1].split("\n\n")[0].splitlines()[1:]
    rows = {line.split()[0]: line.split()[1:] for line in table}
    assert rows["metrics.auc"] == ["0.91", "0.93", "+0.02"]
    assert rows["parameters.max_depth"] == ["3", "4"]
    assert "parameters.seed" not in rows


@pytest.mark.parametrize(("name", "role", "before"), [(A, "stable", OLD), (B, "candidate", A), (OLD, "removed", None)])
def test_a_revision_is_told_also_when_it_is_gone(
    namespace: Namespace, name: str, role: str, before: str | None
) -> None:
    told = namespace.json(name)
    (found,) = told["revisions"]
    assert (told["asked"]["kind"], found["revision"], found["role"]) == ("Revision", name, role)
    assert (found["before"] or {}).get("revision") == before
    assert found["gone"] is (name == OLD)
    assert name in namespace.text(name)


def test_a_revision_of_which_nothing_is_left_is_said_to_be_gone(namespace: Namespace) -> None:
    told = namespace.json("fraud-1234567890", code=1)
    assert told["revisions"] == []
    (note,) = told["notes"]
    assert "is a revision of fraud by its name, and it is gone: its ControllerRevision was deleted" in note
    assert note in namespace.text("fraud-1234567890", code=1)


def test_a_record_alone_is_enough_and_so_is_an_earlier_operators_status(namespace: Namespace) -> None:
    body = deployment()
    body["status"] = {"stable": {"revision": A}}
    namespace.holds("modeldeployments.modelward.io", body)
    namespace.holds("controllerrevisions.apps", record(A, "7", SEVEN, 2), record(OLD, "6", EIGHT, 1))
    (found,) = namespace.json(A)["revisions"]
    assert (found["run"], found["before"]["revision"]) == (SEVEN["runId"], OLD), "promoted before it"
    (other,) = namespace.json(OLD)["revisions"]
    assert (other["role"], other["version"], other["before"]) == ("leaving", "6", None)


def test_a_request_is_told_by_whoever_answered_it(namespace: Namespace) -> None:
    request_id = str(uuid.uuid4())
    answered(namespace, "pod-b", request_id, "candidate")
    answered(namespace, "pod-a", str(uuid.uuid4()))
    told = namespace.json(request_id)
    (found,) = told["revisions"]
    assert (told["asked"], found["revision"], found["certain"]) == ({"kind": "Request", "name": request_id}, B, True)
    assert found["answers"] == [{"pod": "pod-b", "time": "2026-01-01T20:40:00Z", "arm": "candidate"}]
    assert (found["run"], found["before"]["revision"], told["notes"]) == ("8888", A, [])
    assert [each["remembersSince"] for each in told["pods"]] == ["2026-01-01T20:40:00Z"] * 2
    assert "  answered        2026-01-01T20:40:00Z as candidate, pod pod-b" in namespace.text(request_id).splitlines()


def test_who_got_a_copy_is_told_last_and_as_such(namespace: Namespace) -> None:
    request_id = str(uuid.uuid4())
    answered(namespace, "pod-b", request_id, "shadow", 1_767_299_999.0)
    answered(namespace, "pod-a", request_id, "stable")
    told = namespace.json(request_id)
    assert [(each["revision"], each["answers"][0]["arm"]) for each in told["revisions"]] == [
        (A, "stable"),
        (B, "shadow"),
    ]
    assert told["notes"] == []
    assert "from a copy of the request: nobody saw this answer" in namespace.text(request_id)
    assert [each["certain"] for each in told["revisions"]] == [True, False]
    answered(namespace, "pod-b", "copied", "shadow")
    told = namespace.json("copied", code=3)
    assert [(each["revision"], each["certain"]) for each in told["revisions"]] == [
        (B, False),
        (A, False),
        (VARIANT, False),
    ]
    assert told["notes"][0] == "Only a copy of the request is remembered: another revision answered the client."
    answered(namespace, "pod-b", "twice", "direct")
    answered(namespace, "pod-a", "twice", "direct")
    assert "Several revisions remember it" in namespace.text("twice")
    body = deployment()
    body["status"]["stable"] |= {"weight": 100}
    body["status"]["candidate"] |= {"weight": 0, "mirrorPercent": 100}
    namespace.holds("modeldeployments.modelward.io", body)
    told = namespace.json("twice")
    assert [each["revision"] for each in told["revisions"]] == [A, B]
    assert f"{B} gets nothing but copies now." in told["notes"][0]


def test_a_request_that_nobody_remembers_could_have_been_several(namespace: Namespace) -> None:
    answered(namespace, "pod-a", str(uuid.uuid4()))
    told = namespace.json(str(uuid.uuid4()), code=3)
    assert [(each["revision"], each["share"], each["certain"]) for each in told["revisions"]] == [
        (A, 70, False), (B, 25, False), (VARIANT, 5, False),
    ]  # fmt: skip
    assert "2 pods with a monitor looked, whose memory begins at 2026-01-01T20:40:00Z" in told["notes"][0]
    assert "--at TIME" in told["notes"][-1]
    assert "possible: with 25 % of the requests" in namespace.text("some-id", code=3)


def test_a_pod_that_outlived_its_record_still_knows(namespace: Namespace) -> None:
    namespace.holds("pods", pod("pod-z", "fraud-99999999zz"))
    answered(namespace, "pod-z", "some-id")
    (found,) = namespace.json("some-id")["revisions"]
    assert (found["revision"], found["model"], found["role"]) == ("fraud-99999999zz", "fraud", "leaving")


def test_what_is_sampled_out_is_told_where_a_request_is_not_found(namespace: Namespace) -> None:
    body = deployment()
    body["spec"] = {"monitor": {"samplingFraction": "10%"}}
    namespace.holds("modeldeployments.modelward.io", body)
    told = namespace.json("some-id", code=3)
    assert "fraud: spec.monitor.samplingFraction is 10%; what it leaves out nobody remembers." in told["notes"]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-01-07T00:00:00Z", [(A, 70), (B, 25), (VARIANT, 5)]),
        ("2026-01-05T12:00:00+01:00", [(A, None), (B, None)]),
        ("2026-01-03", [(A, None)]),
        ("2025-12-15T00:00:00Z", [(OLD, None)]),
        ("2020-01-01T00:00:00Z", []),
    ],
)
def test_at_another_time_it_was_who_was_stable_then(
    namespace: Namespace, at: str, expected: list[tuple[str, int | None]]
) -> None:
    told = namespace.json("some-id", "--at", at, code=3 if expected else 1)
    assert [(each["revision"], each["share"]) for each in told["revisions"]] == expected
    assert ("Which revision of fraud was stable at that time is not known." in told["notes"]) is not bool(expected)


def test_pods_that_can_not_be_asked_are_named_with_the_cause(namespace: Namespace) -> None:
    request_id = str(uuid.uuid4())
    answered(namespace, "pod-b", request_id)
    namespace.refuses("pod-a", 'pods "pod-a" is forbidden: User "eve" cannot create resource "pods/exec"')
    namespace.holds("pods", pod("pod-a", A), pod("pod-b", B), pod("pod-c", "iris-a", monitor=False, model="iris"))
    told = namespace.json(request_id)
    assert [each["revision"] for each in told["revisions"]] == [B]
    first, second = told["notes"]
    assert first.startswith("pod-a could not be asked:")
    assert 'cannot create resource "pods/exec"' in first
    assert second == "Without a monitor (spec.monitor), and so without a memory of requests: iris."


def test_an_image_of_before_is_told_apart(namespace: Namespace) -> None:
    namespace.refuses("pod-a", "error: argument verb: invalid choice: 'answered' (choose from 'fetch')")
    told = namespace.json("some-id", code=3)
    assert "pod-a could not be asked: its image is of an earlier release, which remembers no requests" in told["notes"]


def test_an_id_is_an_argument_and_never_an_option(namespace: Namespace) -> None:
    answered(namespace, "pod-a", "--help")
    assert namespace.json("--", "--help")["revisions"][0]["revision"] == A
    executed = [call for call in namespace.calls() if "exec" in call]
    assert all(call[-2:] == ["--", "--help"] for call in executed)


def test_a_run_that_made_the_model_is_named(namespace: Namespace) -> None:
    run = {
        "metadata": {"name": "retrain-1", "labels": {"modelward.io/target": "fraud"}},
        "status": {"model": {"uri": "s3://m/7"}},
    }
    namespace.holds("retrainingruns.modelward.io", run)
    assert namespace.json(A)["revisions"][0]["retrainingRun"] == "retrain-1"
    namespace.refuses("retrainingruns.modelward.io", "forbidden")
    told = namespace.json(A)
    assert (told["revisions"][0]["retrainingRun"], "forbidden" in told["notes"][0]) == (None, True)


@pytest.mark.parametrize("refused", ["modeldeployments.modelward.io", "controllerrevisions.apps"])
def test_what_the_cluster_refuses_is_said_in_its_words(namespace: Namespace, refused: str) -> None:
    namespace.refuses(refused, "Error from server (Forbidden): eve cannot list this")
    ended = namespace.modelward("lineage", "fraud")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Error from server (Forbidden): eve cannot list this" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_kubectl_logs_of_its_tries_is_not_repeated(namespace: Namespace) -> None:
    tried = 'E1130 01:05:48.102211    7959 memcache.go:265] "Unhandled Error" err="connection refused"\n'
    namespace.refuses("modeldeployments.modelward.io", 5 * tried + "The connection to the server was refused")
    said = namespace.modelward("lineage", "fraud").stderr
    first, cure = said.splitlines()
    assert (
        first
        == "modelward lineage: kubectl get modeldeployments.modelward.io: The connection to the server was refused"
    )
    assert "--context" in cure
    namespace.refuses("modeldeployments.modelward.io", tried)
    assert "memcache.go" in namespace.modelward("lineage", "fraud").stderr, "where it said nothing else"


def test_options_reach_kubectl(namespace: Namespace) -> None:
    namespace.json("fraud", "-n", "ml", "--context", "c", "--kubeconfig", "/k")
    assert all(call[:3] == ["--namespace=ml", "--context=c", "--kubeconfig=/k"] for call in namespace.calls())


def test_what_others_wrote_moves_no_cursor(namespace: Namespace) -> None:
    body = deployment()
    body["status"]["stable"]["lineage"] = {}
    body["status"]["stable"]["uri"] = "s3://m/\x1b[2J"
    lineage = {
        "commit": "\x1b]0;evil\x07",
        "registeredBy": "a\nstable  since never\r",
        "parameters": {"a\x1b[31m": "\x08"},
    }
    namespace.holds("modeldeployments.modelward.io", body)
    namespace.holds("controllerrevisions.apps", record(A, "7\x1b[0m", lineage, 2))
    told = namespace.text(A)
    assert all(each.isprintable() or each == "\n" for each in told)
    assert "stable  since never" not in [line.strip() for line in told.splitlines()]


NONSENSE = [
    {}, {"status": None}, {"status": {"stable": [], "candidate": 7, "variants": {"a": 1}, "previous": [None, {}]}},
    {"status": {"stable": {"revision": A, "lineage": [], "weight": "much"}, "model": [], "rollout": {"startedAt": 7}}},
    {"status": {"stable": {"revision": A, "lineage": {"dataSets": {"a": 1}, "parameters": [], "commit": 7}}}},
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(NONSENSE)))
def test_a_status_that_is_none_is_read_as_far_as_it_goes(namespace: Namespace, index: int) -> None:
    namespace.holds(
        "modeldeployments.modelward.io", {"metadata": {"name": "fraud", "namespace": "ml"}, **NONSENSE[index]}
    )
    broken = record(A, "7", SEVEN)
    broken["data"]["model"] = "{"
    namespace.holds("controllerrevisions.apps", broken, record(B, "8", EIGHT))
    for arguments in (["fraud"], [A], ["some-id"], ["some-id", "--at", "2026-01-01"]):
        ended = namespace.modelward("lineage", *arguments)
        assert "Traceback" not in ended.stderr, ended.stderr
    assert namespace.json(B)["revisions"][0]["run"] == "8888"


def test_a_reader_that_has_seen_enough_is_no_fault(namespace: Namespace) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        ended = namespace.program_modelward("lineage", "fraud", stdout=write)
    finally:
        os.close(write)
    assert (ended.returncode, ended.stderr) == (1, "")
