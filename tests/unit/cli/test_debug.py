"""`modelward debug` as a program, and what it leaves out."""

import base64
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from modelward_cli.bundle.redact import GONE, redacted, scrubbed, secret_names, values_of

from .test_status import model, policy, run
from .world import A, Namespace, pod

SECRET = "s3cr3t/+Pass word"
PLAIN = "hunter2-in-the-clear"
RSA = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7bq2\nabcdefghijklmnopqrstuv\n-----END RSA PRIVATE KEY-----"


def secret(name: str = "store", **values: str) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"kind": "Secret", "metadata": {"name": name}, "data": data}


@pytest.fixture
def namespace(tmp_path: Path) -> Namespace:
    made = Namespace(tmp_path)
    body = model("fraud")
    body["spec"] = {
        "model": {
            "uri": "https://bob:pw12345@host/m.tar?X-Amz-Signature=abcdef",
            "credentialsSecret": {"name": "store"},
        }
    }
    body["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"env": [{"name": "A", "value": PLAIN}]}),
        "example.com/note": PLAIN,
    }
    made.holds("modeldeployments.modelward.io", body)
    server = pod("pod-a", A)
    server["spec"]["containers"][0] |= {
        "env": [
            {"name": "DB_PASSWORD", "value": PLAIN},
            {"name": "X", "valueFrom": {"secretKeyRef": {"name": "store"}}},
        ],
        "args": ["serve", "--password=" + PLAIN, PLAIN],
    }
    server["status"]["containerStatuses"] = [{"name": "server", "restartCount": 2}]
    made.holds("pods", server)
    made.holds("secrets", secret(key=SECRET))
    made.holds(
        "events", _event("pod-a", f"it said {SECRET}"), _event("fraud-zzz", "by its name"), _event("other", "no")
    )
    (tmp_path / "logs" / "pod-a").mkdir(parents=True)
    (tmp_path / "logs" / "pod-a" / "server").write_text(f"line\nlogin with {SECRET}\nand {PLAIN}\n")
    (tmp_path / "logs" / "pod-a" / "server.previous").write_text(
        f"{base64.b64encode(SECRET.encode()).decode()} Traceback\n"
    )
    (tmp_path / "logs" / "pod-a" / "monitor").write_text('{"message": "counts"}\n')
    for resource in (
        "deployments.apps",
        "replicasets.apps",
        "services",
        "configmaps",
        "poddisruptionbudgets.policy",
        "jobs.batch",
        "networkpolicies.networking.k8s.io",
        "persistentvolumeclaims",
        "modelregistries.modelward.io",
    ):
        made.holds(resource)
    made.holds("driftpolicies.modelward.io", policy("fraud"), {"metadata": {"name": "another"}, "spec": {}})
    made.holds("retrainingruns.modelward.io", run("r1", "fraud", "Failed", "2026-01-01T00:00:00Z"))
    return made


def _event(name: str, message: str) -> dict[str, Any]:
    return {"metadata": {"name": f"e-{name}"}, "involvedObject": {"name": name}, "message": message}


def bundle(namespace: Namespace, *arguments: str) -> tuple[dict[str, str], str]:
    """Its files by their names without the folder, and what was written to stderr."""
    out = namespace.folder / "bundle.tar.gz"
    ended = namespace.modelward("debug", "fraud", "--out", str(out), *arguments)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"{out}\n"
    with tarfile.open(out) as archive:
        files = {each.name: archive.extractfile(each).read().decode() for each in archive}  # type: ignore[union-attr]
    (folder,) = {name.partition("/")[0] for name in files}
    assert folder.startswith("modelward-debug-fraud-2")
    return {name.partition("/")[2]: text for name, text in files.items()}, ended.stderr


def test_all_that_tells_of_the_model_is_in_it(namespace: Namespace) -> None:
    files, _ = bundle(namespace)
    assert set(files) >= {
        "README.txt",
        "events.json",
        "versions.json",
        "logs/pod-a/server.log",
        "logs/pod-a/server.previous.log",
        "logs/pod-a/monitor.log",
        "objects/modeldeployments/fraud.json",
        "objects/pods/pod-a.json",
        f"objects/controllerrevisions/{A}.json",
        "objects/driftpolicies/watch.json",
        "objects/retrainingruns/r1.json",
    }
    assert "objects/driftpolicies/another.json" not in files
    assert not [name for name in files if "secret" in name]
    told = [each["involvedObject"]["name"] for each in json.loads(files["events.json"])["items"]]
    assert told == ["pod-a", "fraud-zzz"]
    assert json.loads(files["objects/modeldeployments/fraud.json"])["status"]["phase"] == "Ready"
    assert files["logs/pod-a/monitor.log"] == '{"message": "counts"}\n'


def test_no_secret_is_in_it(namespace: Namespace) -> None:
    files, _ = bundle(namespace)
    everything = "\n".join(files.values()) + "\n".join(files)
    for value in (
        SECRET,
        PLAIN,
        base64.b64encode(SECRET.encode()).decode(),
        "pw12345",
        "abcdef",
        json.dumps(SECRET)[1:-1],
    ):
        assert value not in everything, value
    assert files["logs/pod-a/server.log"] == f"line\nlogin with {GONE}\nand {GONE}\n", "and nothing else is gone"
    container = json.loads(files["objects/pods/pod-a.json"])["spec"]["containers"][0]
    assert container["env"][0] == {"name": "DB_PASSWORD", "value": GONE}
    assert container["env"][1]["valueFrom"]["secretKeyRef"]["name"] == "store"
    assert container["args"] == ["serve", f"--password={GONE}", GONE]
    assert [call for call in namespace.calls() if call[:2] == ["get", "secrets"]] == [
        ["get", "secrets", "store", "-o", "json"]
    ]


def test_nobody_else_may_read_it_and_none_is_overwritten(namespace: Namespace) -> None:
    bundle(namespace)
    out = namespace.folder / "bundle.tar.gz"
    assert stat.S_IMODE(os.stat(out).st_mode) == 0o600
    before = out.read_bytes()
    ended = namespace.modelward("debug", "fraud", "--out", str(out))
    assert (ended.returncode, out.read_bytes()) == (1, before)
    assert "is there already" in ended.stderr
    nowhere = namespace.modelward("debug", "fraud", "--out", str(namespace.folder / "no" / "b.tar.gz"))
    assert nowhere.returncode == 1
    assert "can't be written" in nowhere.stderr


def test_what_may_not_be_asked_is_told_and_the_rest_is_there(namespace: Namespace) -> None:
    for what in ("secrets", "events", "retrainingruns.modelward.io"):
        namespace.refuses(what, f'Error from server (Forbidden): {what} is forbidden: User "eve" cannot get')
    files, said = bundle(namespace)
    assert "You may not read the Secrets store" in said
    assert "You may not read the Secrets store" in files["README.txt"]
    assert "retrainingruns.modelward.io is forbidden" in files["README.txt"]
    assert PLAIN not in "\n".join(files.values())
    assert "objects/pods/pod-a.json" in files
    namespace.refuses("pods", 'Error from server (Forbidden): pods is forbidden: User "eve" cannot list')
    (namespace.folder / "bundle.tar.gz").unlink()
    _, said = bundle(namespace)
    assert "pods is forbidden" in said
    assert "There is no operator's pod" not in said, "nobody knows"


def test_where_the_operator_is_somewhere_else_it_says_so(namespace: Namespace) -> None:
    namespace.holds("pods")
    _, said = bundle(namespace, "--operator-namespace", "elsewhere")
    assert "There is no operator's pod in elsewhere" in said
    assert any("--namespace=elsewhere" in call for call in namespace.calls())


def test_without_logs_none_is_asked_for(namespace: Namespace) -> None:
    files, _ = bundle(namespace, "--lines", "0")
    assert not [name for name in files if name.endswith(".log")]
    assert not [call for call in namespace.calls() if "logs" in call]
    assert namespace.modelward("debug", "fraud", "--lines", "-1").returncode == 2
    ended = namespace.modelward("debug", "frad")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "did you mean fraud?" in ended.stderr


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def-123",
        "authorization: hunter2hunter2",
        "GET http://h/p?a=hunter2hunter2",
        "authorization='Basic dXNlcjpwdw=='",
        "password=hunter2hunter2",
        "PGPASSWORD: hunter2hunter2",
        '{"api_key": "hunter2hunter2"}',
        "aws_secret_access_key = hunter2hunter2",
        "AKIAIOSFODNN7EXAMPLE",
        RSA,
        "https://bob:hunter2hunter2@host/x",
        "https://token@host/x",
        "GET https://h/p?sig=hunter2&x=1",
        "MY_TOKEN='a b c'",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
        "secret: hunter2hunter2",
    ],
)
def test_what_looks_like_a_credential_is_left_out(text: str) -> None:
    seen = scrubbed(f"before {text} after", [])
    assert seen.startswith("before ")
    assert GONE in seen
    for part in ("hunter2", "abc.def", "dXNl", "IOSFODNN7", "MIIE", "abcdefghijk", "eyJzdWI", "token@", "a b c"):
        assert part not in seen, seen


@pytest.mark.parametrize(
    "text",
    [
        "0 tokens left",
        "the secret store is not there",
        "s3://models/fraud/8/fraud.tar sha256:ab12",
        "GET /v2/models/fraud/infer 200",
        "credentialsSecret names no Secret",
        '{"level": "info", "message": "monitor: 10 rows"}',
        "2026-01-01T00:00:00Z keys=3",
        "why? because",
        "author: bob",
        "modelward.io/revision=fraud-aaaaaaaaaa",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert scrubbed(text, []) == text


@pytest.mark.parametrize("value", [SECRET, "päss wörd", 'quo"te\\back', "line one is long\nline two is long too", RSA])
def test_a_secrets_value_is_known_in_every_form(value: str) -> None:
    known = values_of([secret(key=value)])
    quoted = json.dumps({"said": value})
    for text in (value, quoted, repr(value), base64.b64encode(value.encode()).decode(), value.encode().hex()):
        assert not [line for line in value.splitlines() if line in scrubbed(f"x {text} y", known)], text
    from urllib.parse import quote, quote_plus

    for text in (quote(value, safe=""), quote_plus(value)):
        assert text not in scrubbed(f"x {text} y", known)


def test_what_a_secret_holds_is_known_by_itself() -> None:
    docker = json.dumps({"auths": {"registry": {"username": "robot-account", "password": "p-4711-p"}}})
    ini = "[default]\naws_access_key_id = KEYKEYKEY\naws_secret_access_key = wJalrXUtnFEMI\n"
    known = values_of([secret(a=docker, b=ini)])
    assert scrubbed("ready: true", values_of([secret(a="debug=true", b='{"x": "true"}')])) == "ready: true"
    for value in ("p-4711-p", "wJalrXUtnFEMI", "KEYKEYKEY"):
        assert scrubbed(f"said {value}!", known) == f"said {GONE}!"


@pytest.mark.parametrize(
    "part",
    [
        "a-",
        "eyJ-",
        "secret",
        "?sig",
        "&key",
        "?a=",
        'secret="',
        "://a@",
        "?a",
        "-----BEGIN A",
        "x.",
        "token: '",
        "[",
        '"',
    ],
)
def test_no_log_takes_forever(part: str) -> None:
    """In proportion to its length: a quadratic one would take hours of this."""
    assert scrubbed(part * 100_000, [])
    assert redacted({"status": {"message": part * 100_000}}, [])


BODIES: list[Any] = [
    {"kind": "ConfigMap", "data": {"a": PLAIN}, "binaryData": {"b": PLAIN}},
    {"kind": "Secret", "data": {"a": PLAIN}, "stringData": {"a": PLAIN}},
    {"kind": "ControllerRevision", "data": {"model": json.dumps({"env": [{"name": "A", "value": PLAIN}]})}},
    {
        "kind": "ControllerRevision",
        "data": {"template": {"spec": {"containers": [{"env": [{"name": "A", "value": PLAIN}]}]}}},
    },
    {"metadata": {"annotations": {"modelward.io/x": json.dumps([{"args": [PLAIN]}])}}},
    {"metadata": {"annotations": {"vault/x": PLAIN}}},
    {"metadata": {"managedFields": [PLAIN]}},
    {"spec": {"containers": [{"command": ["sh", "-c", f"login {PLAIN}"], "args": PLAIN}]}},
    {
        "spec": {
            "containers": [
                {"args": [f"-p{PLAIN}"], "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "A", "value": PLAIN}]}}}
            ]
        }
    },
    {
        "spec": {"retrain": {"webhook": {"url": f"https://hooks/services/{PLAIN}"}}},
        "status": {"message": f"POST /services/{PLAIN}"},
    },
    {"status": {"handle": f"https://ci/runs/{PLAIN}"}},
    {"spec": {"volumes": [{"csi": {"volumeAttributes": {"x": PLAIN}}}, {"flexVolume": {"options": {"x": PLAIN}}}]}},
    {"spec": {"somethingToken": PLAIN, "password": PLAIN}},
    {"spec": {"env": {"A": PLAIN}}},
]


@pytest.mark.parametrize("body", BODIES)
def test_objects_lose_what_is_nobodys_business(body: Any) -> None:
    kept = redacted(body, values_of([], [body]))
    assert PLAIN not in json.dumps(kept)
    assert kept.get("kind") == body.get("kind")


def test_the_routes_stay() -> None:
    routes = json.dumps({"resources": [{"name": "fraud-a", "weight": 90}]})
    body = {"kind": "ConfigMap", "metadata": {"name": "fraud-router"}, "data": {"routes.json": routes, "other": "x"}}
    kept = redacted(body, [])
    assert json.loads(kept["data"]["routes.json"]) == json.loads(routes)
    assert kept["data"]["other"] == "<1 characters>"


def test_every_way_to_name_a_secret_is_seen() -> None:
    body = {
        "a": {"secretName": "one"},
        "b": {"credentialsSecret": {"name": "two"}},
        "c": [{"secretRef": {"name": "three"}}],
        "imagePullSecrets": [{"name": "four"}],
        "d": {"valueFrom": {"secretKeyRef": {"name": "five", "key": "k"}}},
        "e": {"projected": {"sources": [{"secret": {"name": "six"}}]}},
        "f": {"secret": {"secretName": "seven"}},
    }
    assert set(secret_names(body)) == {"one", "two", "three", "four", "five", "six", "seven"}
