"""An MLflow tracking server by its REST API: no client library, four or five requests for a version that is new.

REST: https://mlflow.org/docs/latest/api_reference/rest-api.html; as recorded with 3.17.2. The address of a version is
what get-download-uri says; where that is a run's (`runs:/`) or a logged model's, it is asked what that one lies at.
Failure: RegistryError. A lineage that can't be read is left out; an address never is.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from yarl import URL

from modelward.api.modelregistry import Mlflow
from modelward.models.references import (
    Alias,
    LoggedModel,
    NoReferenceError,
    Package,
    Reference,
    RunModel,
    Version,
    parse,
)
from modelward.models.resolved import (
    NAMED,
    WORD,
    Lineage,
    Resolved,
    UnusableSourceError,
    repository,
    usable,
    word,
    words,
)
from modelward.models.write_back import SetAlias, SetTag, Step
from modelward.net.untrusted import bare, quoted
from modelward.registries.client import READ, Answer, Client, checked, host_of, refused
from modelward.registries.registry import Login, RegistryError

HOPS: Final = 4
"""References that lead to references: a version to a run, a run to a logged model; then the chain is a circle."""

MODEL_FILE_BYTES: Final = 256 << 10
"""Of an MLmodel file, with room for a wide signature."""

SOURCE_BYTES: Final = 4096
"""Of what a data set's source is told by."""

OUTPUTS: Final = 10
"""Logged models of a run that are asked for their names."""

SEARCHED: Final = 100
"""Versions of a model that have one tag, of which the newest is taken."""

EDIT: Final = "the permission EDIT on the registered model, or remove spec.writeBack of the ModelRegistry"

_NOT_FOUND: Final = "RESOURCE_DOES_NOT_EXIST"
_ALLOWED_HOSTS: Final = b"Invalid Host header"


class MlflowRegistry:
    """`shown`: how messages call it."""

    def __init__(self, client: Client, spec: Mlflow, login: Login, secret: str | None) -> None:
        self._client = client
        self._url = checked(spec.url)
        self._host = host_of(spec.url)
        self._headers = _headers(spec, login, secret)
        self._login = f"the Secret {secret}" if secret else "spec.credentialsSecret of the ModelRegistry"

    async def resolve(self, reference: Reference, known: Resolved | None) -> Resolved:
        match reference:
            case Alias() | Version():
                return await self._version(reference, known)
            case LoggedModel():
                info = await self._logged(reference.model_id)
                lineage = await self._lineage(_text(info, "source_run_id"), info)
                return await self._finished(_text(info, "artifact_uri"), reference.model_id, lineage)
            case RunModel():
                uri, info = await self._of_run(reference)
                lineage = await self._lineage(reference.run_id, info)
                return await self._finished(uri, f"{reference.run_id[:8]}/{reference.path}", lineage)
            case Package():
                raise RegistryError("WrongRegistry", "An MLflow server has no SageMaker packages")

    async def check(self) -> None:
        await self._get("registered-models/search", {"max_results": "1"}, "There is no such list")

    async def tagged(self, name: str, key: str, value: str) -> str | None:
        """The newest version of a registered model that has a tag; None: there is none. Raises RegistryError."""
        if any("'" in each or "`" in each for each in (name, key, value)):
            raise RegistryError("NoReference", f"{word(name)} can't be searched for: its name has a quotation mark")
        asked = {"filter": f"name='{name}' and tags.`{key}` = '{value}'", "max_results": str(SEARCHED)}
        answer = await self._get("model-versions/search", asked, f"The registry has no model {word(name)}")
        found = answer.get("model_versions")
        # What a filter is not understood by, all are found by.
        ours = [
            str(each.get("version"))
            for each in (found if isinstance(found, list) else ())
            if isinstance(each, Mapping) and each.get("name") == name and _pairs(each.get("tags")).get(key) == value
        ]
        return max((each for each in ours if each.isdecimal() and len(each) <= 10), key=int, default=None)

    async def write(self, step: Step) -> None:
        of = step.of
        missing = _missing_version(Version(of.model, of.version))
        match step:
            case SetTag():
                told = {"name": of.model, "version": of.version, "key": step.key, "value": step.value}
                await self._post("model-versions/set-tag", told, missing)
            case SetAlias():
                told = {"name": of.model, "alias": step.alias, "version": of.version}
                await self._post("registered-models/alias", told, missing)

    async def _post(self, path: str, told: Mapping[str, str], missing: str) -> None:
        url, body = URL(f"{self._url}/api/2.0/mlflow/{path}", encoded=True), json.dumps(told).encode()
        answer = await self._client.send("POST", url, self._headers | {"Content-Type": "application/json"}, body)
        if answer.status != 200:
            raise self._refusal(answer, missing, EDIT)
        answer.json(self._host)  # a login page may answer 200

    async def _version(self, reference: Alias | Version, known: Resolved | None) -> Resolved:
        if isinstance(reference, Alias):
            asked = {"name": reference.name, "alias": reference.alias}
            answer = await self._get("registered-models/alias", asked, _missing_alias(reference))
        else:
            asked = {"name": reference.name, "version": reference.version}
            answer = await self._get("model-versions/get", asked, _missing_version(reference))
        found = _mapping(answer, "model_version")
        version, source = _text(found, "version"), _text(found, "source")
        if not version.isdecimal() or len(version) > 10:
            raise _nonsense(f"version {quoted(version)!r}")
        state = str(found.get("status") or "READY")
        if state != "READY":
            raise RegistryError(
                "VersionNotReady",
                f"Version {version} of {reference.name} is {quoted(state)} in the registry. Wait until it is "
                f"registered, "
                "or register it anew",
                answered=True,
            )
        changed = f"{version} {source} {found.get('last_updated_timestamp')}"[:2000]
        alias = reference.alias if isinstance(reference, Alias) else None
        if known is not None and known.changed == changed:
            return known
        lineage = await self._lineage(str(found.get("run_id") or ""), {})
        asked = {"name": reference.name, "version": version}
        told = await self._get("model-versions/get-download-uri", asked, _missing_version(Version(**asked)))
        lineage = {**lineage, "name": word(reference.name)}
        if by := found.get("user_id"):
            lineage["registeredBy"] = word(by)
        return await self._finished(
            _text(told, "artifact_uri"), version, lineage, alias, found.get("creation_timestamp"), changed
        )

    async def _finished(
        self,
        uri: str,
        version: str,
        lineage: Lineage,
        alias: str | None = None,
        created: object = None,
        changed: str = "",
    ) -> Resolved:
        for _ in range(HOPS):
            if not uri.startswith(("models:", "runs:")):
                break
            uri = await self._next(uri)
        try:
            address = usable(uri, self._host)
        except UnusableSourceError as error:
            raise RegistryError("SourceNotReadable", f"Version {version}: {error}", answered=True) from None
        told = {**lineage, **await self._model_file(address)}
        time = created / 1000 if isinstance(created, int) and 0 < created < 1 << 43 else None
        return Resolved(address, version, alias, None, time, told, changed)

    async def _next(self, uri: str) -> str:
        """Where a reference that a version has for its address leads to."""
        try:
            reference = parse(uri)
        except NoReferenceError:
            raise _nonsense(f"the address {quoted(uri)}") from None
        if isinstance(reference, LoggedModel):
            return _text(await self._logged(reference.model_id), "artifact_uri")
        if isinstance(reference, RunModel):
            return (await self._of_run(reference))[0]
        asked = {"name": reference.name, "version": reference.version} if isinstance(reference, Version) else None
        if asked is None:
            raise _nonsense(f"the address {quoted(uri)}")
        told = await self._get("model-versions/get-download-uri", asked, "its source is gone")
        return _text(told, "artifact_uri")

    async def _of_run(self, reference: RunModel) -> tuple[str, Mapping[str, Any]]:
        """The address of what a run logged under a path, and the logged model that it is, where it is one."""
        run = await self._run(reference.run_id)
        outputs = (run.get("outputs") or {}).get("model_outputs") or ()
        for each in outputs[:OUTPUTS]:
            info = await self._logged(str(each.get("model_id")))
            if info.get("name") == reference.path:
                return _text(info, "artifact_uri"), info
        base = _text(_mapping(run, "info"), "artifact_uri")
        return f"{base.rstrip('/')}/{reference.path}", {}

    async def _logged(self, model_id: str) -> Mapping[str, Any]:
        missing = f"The registry has no logged model {word(model_id)}. Name one that is there"
        answer = await self._get(f"logged-models/{quote(model_id, safe='')}", {}, missing)
        return {**_mapping(_mapping(answer, "model"), "info"), "data": _mapping(answer, "model").get("data") or {}}

    async def _run(self, run_id: str) -> Mapping[str, Any]:
        missing = f"The registry has no run {word(run_id)}. Name one that is there"
        return _mapping(await self._get("runs/get", {"run_id": run_id}, missing), "run")

    async def _lineage(self, run_id: str, logged: Mapping[str, Any]) -> dict[str, Any]:
        """Of the run that made it; what can't be read is left out."""
        run: Mapping[str, Any] = {}
        if run_id:
            try:
                run = await self._run(run_id)
            except RegistryError as error:
                if error.retry_after is not None:
                    raise
        try:
            return lineage_of(run_id, run, logged)
        except (AttributeError, TypeError, KeyError, ValueError):
            return {"runId": word(run_id)} if run_id else {}

    async def _model_file(self, address: str) -> dict[str, Any]:
        """Signature and versions of frameworks, by the MLmodel file where the server itself has it."""
        if not address.startswith("mlflow-artifacts:/"):
            return {}
        path = quote(address.removeprefix("mlflow-artifacts:/"), safe="/")
        url = URL(f"{self._url}/api/2.0/mlflow-artifacts/artifacts/{path}/MLmodel", encoded=True)
        try:
            answer = await self._client.send("GET", url, self._headers, most=MODEL_FILE_BYTES, is_json=False)
        except RegistryError:
            return {}
        return described(answer.body) if answer.status == 200 else {}

    async def _get(self, path: str, query: Mapping[str, str], missing: str) -> Mapping[str, Any]:
        """`missing`: the sentence where the registry does not know it."""
        url = URL(f"{self._url}/api/2.0/mlflow/{path}", encoded=True).with_query(dict(query))
        answer = await self._client.send("GET", url, self._headers)
        if answer.status == 200:
            return answer.json(self._host)
        raise self._refusal(answer, missing)

    def _refusal(self, answer: Answer, missing: str, right: str = READ) -> RegistryError:
        error = answer.error
        code, said = str(error.get("error_code") or ""), quoted(error.get("message") or "")
        if answer.status == 403 and _ALLOWED_HOSTS in answer.body[:200]:
            return RegistryError(
                "HostRefused",
                f"The MLflow server refuses requests to {self._host} (Invalid Host header). Start it with "
                f"MLFLOW_SERVER_ALLOWED_HOSTS={self._host} (with the port, beside the names that are there already)",
                answered=True,
            )
        if code == _NOT_FOUND or (code == "INVALID_PARAMETER_VALUE" and said.rstrip(".").endswith("not found")):
            reason = "AliasMissing" if "alias" in said.lower() else "VersionMissing"
            return RegistryError(reason, missing, answered=True)
        return refused(answer, self._host, said, self._login, right)


def lineage_of(run_id: str, run: Mapping[str, Any], logged: Mapping[str, Any]) -> dict[str, Any]:
    """As status has it, of a run and a logged model as MLflow tells of them."""
    data = run.get("data") or logged.get("data") or {}
    tags = _pairs(data.get("tags"))
    sets = [each.get("dataset") or {} for each in (run.get("inputs") or {}).get("dataset_inputs") or ()]
    told = {
        "runId": word(run_id),
        "modelId": word(logged.get("model_id") or ""),
        "commit": word(tags.get("mlflow.source.git.commit", "")),
        "repository": repository(tags.get("mlflow.source.git.repoURL", "")),
        "dataSets": [_data_set(each) for each in sets[:NAMED]],
        "parameters": words(_pairs(data.get("params"))),
        "metrics": words(_pairs(data.get("metrics"))),
    }
    return {name: value for name, value in told.items() if value}


def _data_set(raw: Mapping[str, Any]) -> dict[str, str]:
    told = {"name": word(raw.get("name", "")), "digest": word(raw.get("digest", ""))}
    # MLflow's sources are JSON of a form of their own for each kind: these of it have an address.
    try:
        source = json.loads(str(raw.get("source") or "")[:SOURCE_BYTES])
    except (ValueError, RecursionError):
        return told
    named = source.get("uri") or source.get("url") if isinstance(source, Mapping) else None
    if isinstance(named, str) and "://" in named and len(named) <= WORD:
        told["source"] = word(bare(named))
    return told


def described(raw: bytes) -> dict[str, Any]:
    """Of an MLmodel file: the signature in short, and what it was made with.

    By its lines, as MLflow writes them, and not as the YAML that it is: a parser of that takes a second for what
    somebody may put into a hundred kilobytes.
    """
    section, flavor = "", ""
    versions: dict[str, str] = {}
    signature: dict[str, str] = {}
    for line in raw.decode(errors="replace").splitlines():
        if found := _TOP.fullmatch(line):
            section, flavor = found[1], ""
            if section == "mlflow_version":
                versions["mlflow"] = found[2]
        elif section == "signature" and (found := _SIGNATURE.fullmatch(line)):
            signature[found[1]] = word(found[2].replace("''", "'"))
        elif section == "flavors" and (found := _FLAVOR.fullmatch(line)):
            flavor = found[1]
        elif (
            section == "flavors"
            and (found := _FLAVOR_VERSION.fullmatch(line))
            and (found[1] != "python" or flavor == "python_function")
        ):
            versions[found[1]] = found[2]
    told = {"frameworks": words(versions), "signature": signature}
    return {name: value for name, value in told.items() if value}


_TOP: Final = re.compile(r"(\w{1,64}):(?: (\S{1,200}))?.{0,1000}")
_FLAVOR: Final = re.compile(r"  (\w{1,64}):\s{0,10}")
_FLAVOR_VERSION: Final = re.compile(r"    (\w{1,64})_version: ['\"]?([\w.+!-]{1,200})['\"]?")
_SIGNATURE: Final = re.compile(r"  (inputs|outputs): '(.*?)'?")


def _headers(spec: Mlflow, login: Login, named: str | None) -> dict[str, str]:
    """`named`: the Secret, None where none is. Raises RegistryError."""
    headers = {"Accept": "application/json"}
    if spec.workspace is not None:
        headers["X-MLFLOW-WORKSPACE"] = spec.workspace
    secret = login.secret
    if "token" in secret:
        headers["Authorization"] = f"Bearer {_one_line(secret, 'token')}"
    elif "username" in secret or "password" in secret:
        if not {"username", "password"} <= set(secret):
            raise RegistryError(
                "BadCredentials",
                "The Secret that spec.credentialsSecret names has one of username and password; it needs both, or "
                "token",
            )
        pair = f"{_one_line(secret, 'username')}:{_one_line(secret, 'password')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    elif named is not None:
        raise RegistryError(
            "BadCredentials",
            "The Secret that spec.credentialsSecret names has none of the entries username, password and token",
        )
    return headers


def _one_line(secret: Mapping[str, str], name: str) -> str:
    value = secret[name].strip("\r\n")
    if not value.isprintable():
        raise RegistryError(
            "BadCredentials",
            f"The entry {name} of the Secret that spec.credentialsSecret names is not one line of printable characters",
        )
    return value


def _missing_alias(reference: Alias) -> str:
    return (
        f"The registry has no alias {reference.alias} of a model {reference.name}. Set it there "
        f'(`MlflowClient().set_registered_model_alias("{reference.name}", "{reference.alias}", "3")`), or correct '
        "spec.model.uri"
    )


def _missing_version(reference: Version) -> str:
    return (
        f"The registry has no version {reference.version} of a model {reference.name} (any more). Name one that is "
        "there in spec.model.uri, or follow an alias: models:/NAME@ALIAS"
    )


def _mapping(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = raw.get(name)
    if not isinstance(value, Mapping):
        raise _nonsense(f"nothing under {name}")
    return value


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not value:
        raise _nonsense(f"nothing under {name}")
    return value


def _nonsense(what: str) -> RegistryError:
    return RegistryError(
        "BadAnswer", f"The registry's answer has {what}, which no MLflow server says. See what is at its address"
    )


def _pairs(raw: Any) -> dict[str, object]:
    """MLflow's lists of key and value."""
    found = {str(each["key"]): each["value"] for each in raw or ()}
    return {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in found.items()}
