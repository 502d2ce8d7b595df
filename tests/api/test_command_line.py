"""The command line against a real API server, with a real kubectl and an operator that writes what it reads."""

import asyncio
import base64
import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import binaries
from nodeless.cluster import REPOSITORY, Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until
from nodeless.training import FakeMonitors, Policy

from .test_rollouts import SLOW, phase

DEADLINE = 120.0
KEY = "AWS_SECRET_ACCESS_KEY"
PASSWORD, CLEAR, HOOK = "s3cr3t/+of the store", "hunter2-in-the-clear", "T0000-B0000-hook"


class Line:
    """The command as `kubectl modelward`: the plugin that is installed, found by kubectl itself. `user`: who asks,
    instead of the cluster's administrator."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self._cluster, self._namespace, self._folder = cluster, namespace, folder
        (folder / "kubectl").symlink_to(binaries.kubectl())
        plugin = folder / "kubectl-modelward"
        plugin.write_text(f"#!{sys.executable}\nimport sys\nfrom modelward_cli.main import main\nsys.exit(main())\n")
        plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
        self._kubeconfig = cluster.server.kubeconfig

    def by(self, user: str) -> None:
        config = yaml.safe_load(self._cluster.server.kubeconfig.read_text())
        for each in config["users"]:
            each["user"]["as"] = user
        self._kubeconfig = self._folder / "kubeconfig"
        self._kubeconfig.write_text(yaml.safe_dump(config))

    async def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """In a thread: the operator works in this one."""
        return await asyncio.to_thread(self.run_alone, *arguments)

    def run_alone(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        verb, *others = arguments
        return subprocess.run(
            ["kubectl", "modelward", verb, "-n", self._namespace, *others],
            env={
                **os.environ, "PATH": f"{self._folder}:{os.environ['PATH']}", "KUBECONFIG": str(self._kubeconfig),
                "PYTHONPATH": f"{REPOSITORY / 'integrations/cli'}:{REPOSITORY / 'inference_image'}",
            },
            cwd=self._folder, capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip

    async def json(self, *arguments: str, code: int = 0) -> Any:
        ended = await self.run(*arguments, "-o", "json")
        assert ended.returncode == code, ended.stderr + ended.stdout
        return json.loads(ended.stdout)


@pytest.fixture
def line(cluster: Cluster, namespace: str, tmp_path: Path) -> Line:
    return Line(cluster, namespace, tmp_path)


async def test_a_rollout_is_watched_and_steered(cluster: Cluster, model: Model, line: Line) -> None:
    async with operator(cluster):
        model.apply(version=1, rollout=SLOW)
        await until(model.is_ready, "the first version")
        ended = await line.run("rollout", "watch", "fraud")
        assert ended.returncode == 0, "the first one has no rollout, and answers"
        nothing = await line.run("rollout", "pause", "fraud")
        assert (nothing.returncode, "has no rollout under way" in nothing.stderr) == (1, True), nothing.stderr
        model.apply(version=2, rollout=SLOW)
        await until(lambda: phase(model) == "Progressing", "its share of the requests")
        late = await line.run("rollout", "watch", "fraud", "--timeout", "0")
        assert late.returncode == 5, late.stderr
        assert "10%" in late.stdout
        (shown,) = (await line.json("status", "fraud"))["models"]
        assert (shown["phase"], shown["candidate"]["weight"], shown["well"]) == ("Progressing", 10, False)
        for command, after in (("pause", "Paused"), ("resume", "Progressing"), ("abort", "Aborted"), ("retry", "")):
            told = await line.run("rollout", command, "fraud")
            assert told.returncode == 0, told.stderr
            assert after in ("", model.get()["status"]["rollout"]["phase"]), command
            if command == "abort":
                over = await line.run("rollout", "watch", "fraud")
                assert over.returncode == 4, over.stdout
                assert "Aborted by hand" in over.stdout
                assert (await line.run("status", "--exit-code")).returncode == 4
        await until(lambda: phase(model) == "Progressing", "its share of the requests, again")
        promoting = asyncio.create_task(line.run("rollout", "promote", "fraud"))
        await until(model.is_second, "the second version alone", 60)
        assert (await promoting).returncode == 0
        watched = await line.run("rollout", "watch", "fraud")
        assert watched.returncode == 0, watched.stdout
        assert "Promoted" in watched.stdout
        assert (await line.run("status", "--exit-code")).returncode == 0


async def test_without_an_operator_a_command_waits(cluster: Cluster, model: Model, line: Line) -> None:
    async with operator(cluster):
        model.apply(version=1, rollout=SLOW)
        await until(model.is_ready, "the first version")
        model.apply(version=2, rollout=SLOW)
        await until(lambda: phase(model) == "Progressing", "its share of the requests")
    ended = await line.run("rollout", "pause", "fraud", "--timeout", "0")
    assert ended.returncode == 5
    assert "it will when it runs" in ended.stderr
    again = await line.run("rollout", "abort", "fraud")
    assert (again.returncode, "`pause` is asked for already" in again.stderr) == (1, True)
    (shown,) = (await line.json("status"))["models"]
    assert "has not taken up `pause` yet" in shown["waitsFor"]
    async with operator(cluster, identity="next"):
        await until(lambda: phase(model) == "Paused", "the command")


async def test_drift_is_told_as_the_operator_has_it(cluster: Cluster, model: Model, namespace: str, line: Line) -> None:
    monitors, policy = FakeMonitors(), Policy(cluster, namespace)
    async with operator(cluster, monitors=monitors):
        model.apply(version=1)
        await until(model.is_ready, "the first version")
        policy.apply(actions={"inputs": "Warn"})
        await until(lambda: policy.condition("Drifted")["status"] == "False", "no drift at first")
        monitors.drift()
        await until(lambda: policy.condition("Drifted")["status"] == "True", "the drift")
    (told,) = (await line.json("drift", "fraud"))["drift"]
    assert (told["model"], told["policy"], told["verdict"]) == ("fraud", "fraud", "Drifted")
    assert told["since"] == policy.condition("Drifted")["lastTransitionTime"]
    assert told["features"][0]["name"] == "colour"
    assert (await line.run("drift", "fraud", "--exit-code")).returncode == 4
    assert "colour" in (await line.run("drift", "fraud")).stdout
    missing = await line.run("report", "fraud")
    assert (missing.returncode, "nothing was counted" in missing.stderr) == (1, True), missing.stderr


async def test_what_is_packed_has_no_secrets(cluster: Cluster, model: Model, namespace: str, line: Line) -> None:
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "store"},
            "stringData": {KEY: PASSWORD},
        },
        namespace,
    )
    container = {
        "name": "train", "image": "train:1", "env": [{"name": "DB_PASSWORD", "value": CLEAR}],
        "command": ["python", "train.py", f"--token={CLEAR}", CLEAR], "envFrom": [{"secretRef": {"name": "store"}}],
    }  # fmt: skip
    template = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    hooks = {"url": f"https://hooks.example.com/services/{HOOK}", "secretRef": {"name": "store", "key": KEY}}
    policies = [
        _policy("job", {"job": {"template": {"spec": {"template": template}}}}),
        _policy("hook", {"webhook": hooks}),
    ]
    async with operator(cluster):
        model.apply(version=1, model={"uri": "s3://models/fraud/1/model.onnx", "credentialsSecret": {"name": "store"}})
        await until(model.is_ready, "the first version")
        # As a person applies it: kubectl keeps all of it in an annotation, too.
        cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(policies))
        cluster.kubectl("annotate", "md", "fraud", "-n", namespace, f"example.com/note={CLEAR}")
        revision = model.stable()["revision"]
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "said"}, "message": f"login failed: {PASSWORD}",
        "involvedObject": {"kind": "Pod", "name": f"{revision}-0", "namespace": namespace},
    }  # fmt: skip
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(event))
    told = await line.json("debug", "fraud", "--out", "bundle.tar.gz")
    path = line._folder / told["bundle"]
    with tarfile.open(path) as archive:
        files = {each.name.partition("/")[2]: _read(archive, each) for each in archive}
    assert sorted(files) == told["files"]
    assert set(files) >= {
        "objects/modeldeployments/fraud.json", f"objects/deployments/{revision}.json",
        f"objects/pods/{revision}-0.json", f"objects/controllerrevisions/{revision}.json",
        "objects/driftpolicies/job.json", "objects/driftpolicies/hook.json", "objects/configmaps/fraud-router.json",
        "events.json", "versions.json", "README.txt",
    }  # fmt: skip
    everything = "\n".join(files.values())
    for value in (PASSWORD, CLEAR, HOOK, base64.b64encode(PASSWORD.encode()).decode()):
        assert value not in everything, value
    assert "login failed: <redacted>" in files["events.json"]
    job = json.loads(files["objects/driftpolicies/job.json"])["spec"]["retrain"]["job"]["template"]
    (packed,) = job["spec"]["template"]["spec"]["containers"]
    assert packed["env"] == [{"name": "DB_PASSWORD", "value": "<redacted>"}]
    assert packed["envFrom"] == [{"secretRef": {"name": "store"}}]
    hook = json.loads(files["objects/driftpolicies/hook.json"])["spec"]["retrain"]["webhook"]
    assert hook["url"] == "https://hooks.example.com/<redacted>"
    assert json.loads(files["versions.json"])["serverVersion"]["minor"]
    logs = {name: text for name, text in files.items() if name.startswith(f"logs/{revision}-0/")}
    assert set(logs.values()) == {""}, "they were asked for, and no pod runs here"
    (note,) = told["notes"]
    assert "There is no operator's pod in modelward-system" in note


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    assert file is not None
    return file.read().decode()


def _policy(name: str, how: Any) -> Any:
    return {
        "apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy", "metadata": {"name": name},
        "spec": {"target": {"name": "fraud"}, "suspend": True, "retrain": how},
    }  # fmt: skip


def test_who_may_not_ask_is_told_so(cluster: Cluster, model: Model, line: Line) -> None:
    model.apply(version=1)
    line.by("eve")
    for arguments in (("status",), ("rollout", "pause", "fraud"), ("drift", "fraud"), ("debug", "fraud")):
        ended = line.run_alone(*arguments)
        assert (ended.returncode, ended.stdout) == (1, ""), arguments
        assert 'User "eve" cannot' in ended.stderr
        assert "docs/cli.md" in ended.stderr
    unknown = Line.run_alone  # as the administrator again
    line._kubeconfig = cluster.server.kubeconfig
    ended = unknown(line, "status", "frad")
    assert (ended.returncode, "did you mean fraud?" in ended.stderr) == (1, True)
    ended = unknown(line, "status", "--context", "no-such-context")
    assert (ended.returncode, "no-such-context" in ended.stderr) == (1, True)
    assert unknown(line, "status", "-A").returncode == 0
