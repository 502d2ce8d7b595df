"""Installation, upgrades and the quick start: what the pages show, held against the chart, manifests and code."""

import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from libyaml import document, documents
from localcluster.images import IMAGES
from modelward.api.modeldeployment import parse
from modelward_inference import runtimes
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.parity import golden
from modelward_inference.serve.rest import Rest, State
from unit.inference.test_requests import call

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = {name: (DOCS / name).read_text() for name in ("install.md", "quick-start.md", "upgrades.md")}
QUICK_START = ROOT / "examples/quick-start"
CRDS = sorted((ROOT / "crds").glob("*.modelward.io.yaml"))
Json = dict[str, Any]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGES[page], re.MULTILINE | re.DOTALL)


def commands(*languages: str) -> Iterator[tuple[str, str]]:
    """Every line of a shell on the pages, with its page."""
    for page in PAGES:
        for language in languages or ("console", "sh"):
            for block in blocks(page, language):
                yield from ((page, line.strip()) for line in block.splitlines())


HELM = [(page, line) for page, line in commands("console") if line.startswith("helm ")]
VALUES = [(page, block) for page in PAGES for block in blocks(page, "yaml") if block.startswith("# values.yaml")]


def template(helm: Path, *arguments: str, stdin: str = "") -> list[Json]:
    done = subprocess.run(
        [helm, "template", "any", "charts/modelward", *arguments], input=stdin, cwd=ROOT, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return [each for each in documents(done.stdout) if each]


def test_there_is_something_to_hold() -> None:
    assert len(HELM) >= 8
    assert len(VALUES) >= 2


@pytest.mark.parametrize(("page", "line"), HELM, ids=str)
def test_what_helm_is_told_it_takes(helm: Path, page: str, line: str) -> None:
    """Flags that the subcommand has; of what installs, values by which the chart can be rendered."""
    _, command, *words = shlex.split(line)
    usage = subprocess.run([helm, command, "--help"], text=True, capture_output=True, check=True).stdout
    for flag in (word for word in words if word.startswith("--")):
        assert re.search(rf"(^|\s){flag}\b", usage), f"{page}: helm {command} has no {flag}"
    if command in ("install", "upgrade"):
        chart = next(word for word in words if word.startswith("charts/"))
        assert (ROOT / chart / "Chart.yaml").exists()
        sets = [part for flag, value in itertools.pairwise(words) if flag == "--set" for part in (flag, value)]
        assert template(helm, "--namespace", words[words.index("--namespace") + 1], *sets)


@pytest.mark.parametrize(("page", "block"), VALUES)
def test_values_of_the_pages_are_taken_and_do_something(helm: Path, page: str, block: str) -> None:
    assert template(helm, "--values", "-", stdin=block) != template(helm), page


def test_the_settings_of_the_page_reach_the_operator(helm: Path) -> None:
    (values,) = [block for _, block in VALUES if "settings:" in block]
    objects = template(helm, "--values", "-", stdin=values)
    (settings,) = [each["data"] for each in objects if each["metadata"]["name"] == "modelward-settings"]
    told = yaml.safe_load(values)["settings"]
    assert {name: settings[name] for name in told} == {name: str(value) for name, value in told.items()}
    assert {"ServiceMonitor", "PodMonitor", "PrometheusRule"} <= {each["kind"] for each in objects}


def test_the_overlay_of_the_page_is_one(kubectl: Path, tmp_path: Path) -> None:
    (text,) = [block for block in blocks("install.md", "yaml") if block.startswith("# kustomization.yaml")]
    up = "/".join([".."] * (len(tmp_path.parts) - 1)) + str(ROOT)
    (tmp_path / "kustomization.yaml").write_text(text.replace("../modelward", up))
    done = subprocess.run([kubectl, "kustomize", tmp_path], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "MODELWARD_LOG_FORMAT: json" in done.stdout


def test_files_folders_and_targets_of_the_pages_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    seen = 0
    for page, text in PAGES.items():
        for path in re.findall(r"(?:-f|-k) ([a-z][\w./-]+)", "\n".join(line for _, line in commands())):
            assert (ROOT / path).exists(), f"{page}: {path}"
            seen += 1
        for target in re.findall(r"`make (?:-s )?([a-z][a-z-]+)", text):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: make {target}"
    assert seen >= 5


def test_links_of_the_pages_lead_somewhere() -> None:
    def anchors(text: str) -> set[str]:
        titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}

    for page, text in PAGES.items():
        links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
        assert links
        for link in links:
            file, _, anchor = link.partition("#")
            target = (DOCS / file).resolve() if file else DOCS / page
            assert target.exists(), f"{page}: {link}"
            assert not anchor or anchor in anchors(target.read_text()), f"{page}: {link}"


def test_the_images_of_the_page_are_those_of_the_chart_and_the_dockerfiles() -> None:
    rows = re.findall(r"^\| `images\.(\w+)` \|.*$", PAGES["install.md"], re.MULTILINE)
    images = yaml.safe_load((ROOT / "charts/modelward/values.yaml").read_text())["images"]
    assert set(rows) == {name for name, value in images.items() if isinstance(value, dict)} == IMAGES.keys() & set(rows)
    built = re.findall(r"docker build -f (\S+)", PAGES["install.md"])
    assert {*built} == {IMAGES[role].dockerfile for role in ("operator", "inference", "evaluate")}


def test_roles_and_policies_are_those_of_the_manifests() -> None:
    bodies = list(yaml.safe_load_all((ROOT / "manifests/base/rbac.yaml").read_text()))
    roles = {
        each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in bodies if each["kind"] == "ClusterRole"
    }
    rows = dict(re.findall(r"^\| `(modelward-\w+)` \| (.*?) \|", PAGES["install.md"], re.MULTILINE))
    assert rows.keys() == roles.keys() - {"modelward-operator"}
    for name, into in rows.items():
        parts = {label.removeprefix("rbac.authorization.k8s.io/aggregate-to-") for label in roles[name]}
        assert set(re.findall(r"`(\w+)`", into)) == parts, name
    policies = yaml.safe_load_all((ROOT / "manifests/base/admission.yaml").read_text())
    found = [each for each in policies if each["kind"] == "ValidatingAdmissionPolicy"]
    assert (len(found), "there are eight policies" in PAGES["install.md"]) == (8, True)
    assert all(each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "modelward" for each in found)
    kinds = {document(path.read_text())["spec"]["names"]["plural"] for path in CRDS}
    assert (len(kinds), PAGES["install.md"].count("five kinds")) == (5, 2)
    for name in rows:
        (role,) = [each for each in bodies if each["kind"] == "ClusterRole" and each["metadata"]["name"] == name]
        assert kinds <= {part for rule in role["rules"] for part in rule["resources"]}, f"{name} leaves a kind out"


def test_taking_it_away_names_every_kind() -> None:
    """Runs are the operator's, and go with their policies."""
    (objects,) = [line for _, line in commands("console") if line.startswith("kubectl delete") and "--all-n" in line]
    (crds,) = [line for _, line in commands("console") if line.startswith("kubectl delete crd ")]
    names = {path.name.removesuffix(".yaml") for path in CRDS}
    assert set(crds.split()[3:]) == names
    assert {f"{each}.modelward.io" for each in objects.split()[2].split(",")} == names - {"retrainingruns.modelward.io"}


def test_kinds_and_versions_of_the_migration_are_the_crds() -> None:
    crds = [document(path.read_text()) for path in CRDS]
    (kinds,) = re.findall(r"for kind in (.*?); do", PAGES["upgrades.md"])
    assert set(kinds.split()) == {each["spec"]["names"]["plural"] for each in crds}
    assert {version["name"] for each in crds for version in each["spec"]["versions"]} == {"v1alpha1"}
    (waited,) = [line for _, line in commands() if line.startswith("kubectl wait --for=condition=Established")]
    assert set(re.findall(r"crd/(\S+)", waited)) == {each["metadata"]["name"] for each in crds}


# The quick start.


def quick_start(kubectl: Path, folder: Path) -> dict[str, Json]:
    """What its second command applies, by kind."""
    for each in QUICK_START.glob("*.yaml"):
        (folder / each.name).write_text(each.read_text())
    (folder / "model.joblib").write_bytes(b"\x80 a model")
    done = subprocess.run([kubectl, "kustomize", folder], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return {each["kind"]: each for each in documents(done.stdout)}


def steps() -> list[str]:
    """The three commands."""
    head = PAGES["quick-start.md"].partition("## ")[0]
    return [block.strip() for block in re.findall(r"```console\n(.*?)```", head, re.DOTALL)]


def test_they_are_three_commands() -> None:
    assert len(steps()) == 3
    assert not [each for each in steps() if "\n" in each]


def test_the_file_comes_to_where_the_model_looks_for_it(kubectl: Path, tmp_path: Path) -> None:
    objects = quick_start(kubectl, tmp_path)
    namespace = objects["Namespace"]["metadata"]
    assert {each["metadata"].get("namespace", namespace["name"]) for each in objects.values()} == {namespace["name"]}
    claim, job = objects["PersistentVolumeClaim"]["metadata"]["name"], objects["Job"]["spec"]["template"]["spec"]
    (container,) = job["containers"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in job["volumes"]}
    of_file = next(name for name, each in volumes.items() if "configMap" in each)
    of_claim = next(name for name, each in volumes.items() if "persistentVolumeClaim" in each)
    assert volumes[of_file]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    assert volumes[of_claim]["persistentVolumeClaim"]["claimName"] == claim
    (file,) = objects["ConfigMap"]["binaryData"]
    # The Job's own script, with its folders elsewhere.
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / file).write_bytes(b"a model")
    script = container["command"][-1].replace(mounts[of_file], str(source)).replace(mounts[of_claim], str(target))
    subprocess.run([*container["command"][:-1], script], check=True)
    body = objects["ModelDeployment"]
    model = parse({**body, "metadata": {**body["metadata"], "uid": "u"}}).spec.model
    assert model.uri == f"pvc://{claim}/{file}"
    assert [each.name for each in target.iterdir()] == [model.uri.rpartition("/")[2]]
    assert namespace["labels"]["modelward.io/allowed-formats"] == "sklearn", "joblib needs consent"


def test_the_commands_name_what_is_made(kubectl: Path, tmp_path: Path) -> None:
    objects = quick_start(kubectl, tmp_path)
    name, namespace = (objects[kind]["metadata"]["name"] for kind in ("ModelDeployment", "Namespace"))
    text = PAGES["quick-start.md"]
    assert set(re.findall(r"modeldeployment[/ ]([\w-]+)", text)) == {name}
    assert set(re.findall(r"--namespace (quick\S*[a-z])", text)) == {namespace}
    assert f"service/{name} 8080:80" in steps()[2]
    assert f"/v1/models/{name}:predict" in steps()[2]
    assert f"job {objects['Job']['metadata']['name']} " in text
    (image,) = [each["image"] for each in objects["Job"]["spec"]["template"]["spec"]["containers"]]
    images = yaml.safe_load((ROOT / "charts/modelward/values.yaml").read_text())["images"]["inference"]
    assert image == f"{images['repository']}:{images['tag']}", "what the installation has on its nodes"


async def test_the_pages_model_answers_the_pages_request_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetched from a volume, compiled and served; without the cluster, and without the router in between."""
    (program,) = blocks("quick-start.md", "python")
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert (tmp_path / "model.joblib").stat().st_size < 1 << 20, "a ConfigMap takes a MiB"
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    monkeypatch.setenv("PVC_MOUNT", str(tmp_path))
    manifest: Manifest = fetch(Request("pvc://models/model.joblib", "auto", None, "my-model", bundle, "Auto"))
    loaded = runtimes.load(manifest.format, bundle / manifest.file, signature=manifest.signature)
    golden.verify(loaded, bundle, manifest)
    app = Rest(DataPlane(loaded, manifest, "1", workers=1, max_waiting=8), State(), 10_000)
    words = shlex.split(steps()[2])
    body = words[words.index("--data") + 1]
    (path,) = [word.removeprefix("localhost:8080") for word in words if word.startswith("localhost:8080")]
    status, answer, _ = await call(app, body.encode(), path)
    (shown,) = blocks("quick-start.md", "json")
    assert (status, json.loads(answer)) == (200, json.loads(shown))


def test_a_reader_finds_the_pages() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in PAGES:
        assert f"docs/{page}" in readme
