"""Writes the parts of charts/modelward that stand in crds and manifests already: `make -s chart`.

`--check` only says whether they are up to date. What a template of Helm has to decide is put into the objects as an
expression; everything else stays as it is, so that both ways to install give the same: a test holds what real Helm
renders against what kustomize builds.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "charts" / "modelward"
TEMPLATES: Final = CHART / "templates"
DASHBOARDS: Final = CHART / "dashboards"

BOOK: Final = re.compile(r"^( *)runbook: docs/runbooks/(.+\.md)\n", re.MULTILINE)
"""As manifests/alerts writes it. A value of the chart adds the link."""

IMAGES: Final = ("MODELWARD_SERVER_IMAGE", "MODELWARD_ROUTER_IMAGE", "MODELWARD_EVALUATE_IMAGE")
ELSEWHERE: Final = (*IMAGES, "MODELWARD_WATCH_NAMESPACES")
"""Settings that other values of the chart give."""
FIXED: Final = ("MODELWARD_HTTP_PORT", "MODELWARD_REGISTRY_WEBHOOK_PORT")
"""Settings that the chart does not offer: the ports of its objects would have to follow."""

FOR_THE_CLUSTER: Final = ".Values.cluster.enabled"
FOR_THE_OPERATOR: Final = ".Values.operator.enabled"
FOR_EVERY_NAMESPACE: Final = "and .Values.operator.enabled (not .Values.watchNamespaces)"

SHAPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "MODELWARD_LOG_LEVEL": {"enum": ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]},
    "MODELWARD_LOG_FORMAT": {"enum": ["text", "json"]},
    "MODELWARD_NODE_CREDENTIALS": {"enum": ["true", "false", True, False]},
    "MODELWARD_NETWORK_POLICIES": {"enum": ["true", "false", True, False]},
    "MODELWARD_MAX_MODEL_SIZE": {"type": ["string", "integer"]},
    "MODELWARD_UPDATES_AT_A_TIME": {"type": ["string", "integer"], "minimum": 0, "pattern": "^[0-9]+$"},
    "MODELWARD_RESYNC_SECONDS": {"type": ["string", "integer"], "minimum": 1, "pattern": "^[0-9]+$"},
    "MODELWARD_TRACE_SHARE": {"type": ["string", "number"], "minimum": 0, "maximum": 1},
}
"""What the schema knows of a setting's value. The operator says what is wrong with any other at its start."""

SETTINGS_MARK: Final = "# What follows is generated from manifests/base/kustomization.yaml by `make chart`.\n"

Json = dict[str, Any]


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines as they are read, and no anchors."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


class Template:
    """Expressions of Helm in objects: each stands as a mark in them until they are text.

    A mark as a value is replaced by its expression; `inserted` is a key whose whole line is replaced.
    """

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._lines: dict[str, str] = {}

    def value(self, expression: str) -> str:
        """What stands in a value's place: `{{ expression }}`."""
        mark = f"_value_{len(self._values)}_"
        self._values[mark] = f"{{{{ {expression} }}}}"
        return mark

    def below(self, value: str, indent: int) -> str:
        """What stands in the place of a value that is an object or a list."""
        mark = f"_value_{len(self._values)}_"
        self._values[mark] = f"{{{{- toYaml {value} | nindent {indent} }}}}"
        return mark

    def inserted(self, text: str) -> Json:
        """A line of an object that becomes `text`, whose lines are indented as that one."""
        mark = f"_line_{len(self._lines)}_"
        self._lines[mark] = text
        return {mark: None}

    def optional(self, key: str, value: str, indent: int) -> Json:
        """A field that is left out where `value` is empty."""
        return self.inserted(f"{{{{- with {value} }}}}\n{key}: {{{{- toYaml . | nindent {indent} }}}}\n{{{{- end }}}}")

    def rendered(self, body: Json) -> str:
        """The object as a template; braces that it had itself stay what they are."""
        text = yaml.dump(body, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
        text = text.replace("{{", '{{ "{{" }}')
        for mark, expression in self._values.items():
            text = text.replace(mark, expression)
        for mark, lines in self._lines.items():
            found = re.search(rf"^( *)(?:- )?{mark}: null\n", text, re.MULTILINE)
            if found is not None:
                indented = "".join(f"{found[1]}{line}\n" for line in lines.split("\n"))
                text = text.replace(found[0], indented)
        return text


def files() -> dict[Path, str]:
    """What is written, by where."""
    made = {
        TEMPLATES / "admission.yaml": _when(FOR_THE_CLUSTER, _verbatim(ROOT / "manifests/base/admission.yaml")),
        TEMPLATES / "roles.yaml": _when(FOR_THE_CLUSTER, _joined(_roles_for_people())),
        TEMPLATES / "rbac.yaml": "".join(_rbac()),
        TEMPLATES / "watched.yaml": _watched(),
        TEMPLATES / "operator.yaml": _when(FOR_THE_OPERATOR, _joined(_operator())),
        TEMPLATES / "networkpolicy.yaml": _network_policy(),
        TEMPLATES / "monitors.yaml": _monitors(),
        TEMPLATES / "prometheusrules.yaml": _rules(),
        CHART / "values.yaml": _values((CHART / "values.yaml").read_text()),
        CHART / "values.schema.json": _schema((CHART / "values.schema.json").read_text()),
    }
    for path in sorted((ROOT / "crds").glob("*.modelward.io.yaml")):
        name = f"crd-{path.name.removesuffix('.modelward.io.yaml')}.yaml"
        made[TEMPLATES / name] = _when("and .Values.cluster.enabled .Values.cluster.crds", _kept(_verbatim(path)))
    for path in sorted((ROOT / "manifests/dashboards").glob("*.json")):
        made[DASHBOARDS / path.name] = path.read_text()
    return {
        path: f"{{{{- /* Generated from crds and manifests by `make chart`. */}}}}\n{text}"
        if path.parent == TEMPLATES
        else text
        for path, text in made.items()
    }


def _documents(path: str) -> list[Json]:
    return list(yaml.safe_load_all((ROOT / path).read_text()))


def _when(condition: str, text: str) -> str:
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"


def _joined(documents: Iterator[str]) -> str:
    return "---\n".join(documents)


def _verbatim(path: Path) -> str:
    """A file with its comments, as a template."""
    return path.read_text().replace("{{", '{{ "{{" }}')


def _kept(crd: str) -> str:
    """A CRD that Helm leaves alone when the release goes: every object of its kind would go with it."""
    text, found = re.subn(
        r"^metadata:\n", "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n", crd, flags=re.MULTILINE
    )
    if found != 1 or yaml.safe_load(text)["metadata"].keys() != {"annotations", "name", "labels"}:
        raise ValueError("a CRD's metadata is not what manifests/chart.py expects; look at _kept")
    return text


def _placed(template: Template, body: Json) -> Json:
    """An object of the release's namespace, and the account that it names, too."""
    if not body["kind"].startswith("Cluster"):
        metadata = {**body["metadata"], "namespace": template.value(".Release.Namespace")}
        body = {**body, "metadata": {"name": metadata.pop("name"), "namespace": metadata.pop("namespace"), **metadata}}
    if "subjects" in body:
        subjects = [{**each, "namespace": template.value("$.Release.Namespace")} for each in body["subjects"]]
        body = {**body, "subjects": subjects}
    return body


def _roles_for_people() -> Iterator[str]:
    for body in _documents("manifests/base/rbac.yaml"):
        if body["kind"] == "ClusterRole" and body["metadata"]["name"] != "modelward-operator":
            yield Template().rendered(body)


def _rbac() -> Iterator[str]:
    """What the operator's account may, but for its rights in single namespaces."""
    for body in _documents("manifests/base/rbac.yaml"):
        template = Template()
        placed = _placed(template, body)
        if body["kind"] == "ServiceAccount":
            placed["metadata"].update(template.optional("annotations", ".Values.serviceAccount.annotations", 4))
        elif body["kind"] == "ClusterRole" and body["metadata"]["name"] != "modelward-operator":
            continue
        wide = body["kind"].startswith("Cluster")
        yield _when(FOR_EVERY_NAMESPACE if wide else FOR_THE_OPERATOR, f"---\n{template.rendered(placed)}")


def _watched() -> str:
    """The rights of an installation for some namespaces, in each of them; named as docs/multi-tenancy.md has it."""
    text = ""
    for body in _documents("manifests/namespaced/watched/rbac.yaml"):
        template = Template()
        name = template.value('printf "modelward-operator-%s" $.Release.Namespace')
        placed = _placed(template, body)
        placed["metadata"] = {"name": name, "namespace": template.value("$namespace")}
        if "roleRef" in placed:
            placed["roleRef"] = {**placed["roleRef"], "name": name}
        text += f"---\n{template.rendered(placed)}"
    return _when(FOR_THE_OPERATOR, f"{{{{- range $namespace := .Values.watchNamespaces }}}}\n{text}{{{{- end }}}}\n")


def _operator() -> Iterator[str]:
    for body in _documents("manifests/base/operator.yaml"):
        template = Template()
        placed = _placed(template, body)
        if body["kind"] == "Deployment":
            _shaped(template, placed["spec"])
        yield template.rendered(placed)


def _shaped(template: Template, spec: Json) -> None:
    """What values say of the operator's pods."""
    spec["replicas"] = template.value(".Values.replicas")
    metadata, pod = spec["template"]["metadata"], spec["template"]["spec"]
    settings = 'include (print $.Template.BasePath "/settings.yaml") . | sha256sum'
    metadata["annotations"]["checksum/settings"] = template.value(settings)
    with_more = "{{{{- with .Values.{} }}}}\n{{{{- toYaml . | nindent {} }}}}\n{{{{- end }}}}".format
    metadata["annotations"].update(template.inserted(with_more("podAnnotations", 8)))
    # A copy: the labels are one object with those of the Deployment.
    metadata["labels"] = {**metadata["labels"], **template.inserted(with_more("podLabels", 8))}
    for name in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity"):
        pod.update(template.optional(name, f".Values.{name}", 8))
    pod.update(template.inserted("{{- with .Values.priorityClassName }}\npriorityClassName: {{ . }}\n{{- end }}"))
    (container,) = pod["containers"]
    container["image"] = template.value('include "modelward.image" (dict "role" "operator" "images" .Values.images)')
    container["imagePullPolicy"] = template.value(".Values.images.pullPolicy")
    container["resources"] = template.below(".Values.resources", 10)
    container["volumeMounts"].append(template.inserted(with_more("extraVolumeMounts", 8)))
    pod["volumes"].append(template.inserted(with_more("extraVolumes", 6)))


def _network_policy() -> str:
    (body,) = _documents("manifests/base/networkpolicy.yaml")
    template = Template()
    text = template.rendered(_placed(template, body))
    return _when(f"and {FOR_THE_OPERATOR} .Values.networkPolicy.enabled", text)


def _monitors() -> str:
    def made() -> Iterator[str]:
        for body in _documents("manifests/monitoring/monitors.yaml"):
            template = Template()
            placed = _placed(template, body)
            _labelled(template, placed["metadata"], "serviceMonitor")
            if "namespaceSelector" in body["spec"]:
                placed["spec"]["namespaceSelector"] = template.inserted(
                    "{{- if .Values.watchNamespaces }}\nmatchNames: {{- toYaml .Values.watchNamespaces | nindent 4 }}\n"
                    "{{- else }}\nany: true\n{{- end }}"
                )
            yield template.rendered(placed)

    return _when(f"and {FOR_THE_OPERATOR} .Values.monitoring.serviceMonitor.enabled", _joined(made()))


def _rules() -> str:
    def made() -> Iterator[str]:
        for body in _documents("manifests/alerts/prometheusrules.yaml"):
            template = Template()
            placed = _placed(template, body)
            _labelled(template, placed["metadata"], "prometheusRule")
            link = (
                r"\1{{- with $.Values.monitoring.prometheusRule.runbooks }}\n\1runbook_url: {{ . }}/\2\n\1{{- end }}\n"
            )
            yield BOOK.sub(r"\g<0>" + link, template.rendered(placed))

    return _when(f"and {FOR_THE_OPERATOR} .Values.monitoring.prometheusRule.enabled", _joined(made()))


def _labelled(template: Template, metadata: Json, option: str) -> None:
    more = f"{{{{- with $.Values.monitoring.{option}.labels }}}}\n{{{{- toYaml . | nindent 4 }}}}\n{{{{- end }}}}"
    metadata["labels"] = {**metadata["labels"], **template.inserted(more)}


def defaults() -> Mapping[str, str]:
    """The settings of manifests/base."""
    (generated,) = yaml.safe_load((ROOT / "manifests/base/kustomization.yaml").read_text())["configMapGenerator"]
    return {name: value for name, _, value in (each.partition("=") for each in generated["literals"])}


def _values(text: str) -> str:
    """values.yaml with the settings of manifests/base, and what is said of them there."""
    head, mark, _ = text.partition(SETTINGS_MARK)
    if not mark:
        raise ValueError(f"values.yaml has lost its line {SETTINGS_MARK!r}, after which the settings stand")
    lines, comment = ["settings:"], list[str]()
    base = (ROOT / "manifests/base/kustomization.yaml").read_text()
    for line in base[base.index("  literals:\n") :].splitlines()[1:]:
        if line.startswith("  # "):
            comment.append(line)
            continue
        name, _, value = line.removeprefix("  - ").partition("=")
        if name not in ELSEWHERE:
            lines += [*comment, f'  {name}: "{value}"']
        comment = []
    return f"{head}{mark}" + "\n".join(lines) + "\n"


def settings() -> dict[str, str]:
    """What docs/settings.md says of each setting that the chart offers, as plain text."""
    page = (ROOT / "docs/settings.md").read_text()
    found = {
        name: text.strip() for name, text in re.findall(r"^\| `(MODELWARD_\w+)` \|(.*)\|[^|]*\|$", page, re.MULTILINE)
    }
    plain = {name: re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", "") for name, text in found.items()}
    return {name: text for name, text in plain.items() if name not in (*ELSEWHERE, *FIXED)}


def _schema(text: str) -> str:
    """values.schema.json with the names of the settings: a slip in one is refused."""
    schema = json.loads(text)
    schema["properties"]["settings"]["properties"] = {
        name: {**SHAPES.get(name, {"type": "string"}), "description": described}
        for name, described in settings().items()
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        stale = [
            str(path.relative_to(ROOT))
            for path, text in files().items()
            if not path.exists() or path.read_text() != text
        ]
        sys.exit(f"{', '.join(stale)}: out of date; run `make chart`" if stale else 0)
    DASHBOARDS.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)
