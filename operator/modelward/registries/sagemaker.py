"""SageMaker's model registry by its JSON API. Only packages that somebody approved mean anything.

The newest approved is not the newest created (an old one may be approved later), so the list is asked for approved
ones; a page of it may be empty and still have a next one.
API: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListModelPackages.html and
API_DescribeModelPackage.html. Failure: RegistryError.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from yarl import URL

from modelward.api.modelregistry import SageMaker
from modelward.models.references import Package, Reference
from modelward.models.resolved import Resolved, UnusableSourceError, repository, usable, word, words
from modelward.models.write_back import OWN, REPLACED, SetTag, Step
from modelward.net.untrusted import quoted
from modelward.registries.client import READ, Answer, Client, checked, host_of, refused
from modelward.registries.registry import Login, RegistryError
from modelward.registries.sigv4 import Keys, sign

PAGES: Final = 20
"""Of a list, until an approved package is found."""

PROPERTIES: Final = 50
"""CustomerMetadataProperties of a package, at most."""

UPDATE: Final = "the right sagemaker:UpdateModelPackage on the packages, or remove spec.writeBack of the ModelRegistry"

APPROVED: Final = "Approved"

_TYPE: Final = "application/x-amz-json-1.1"
_UNKNOWN_LOGIN: Final = (
    "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "InvalidClientTokenId",
    "MissingAuthenticationTokenException", "IncompleteSignatureException",
)  # fmt: skip
_TOO_MANY: Final = ("ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded")
_MISSING: Final = ("ValidationException", "ResourceNotFound", "ResourceNotFoundException")


class SageMakerRegistry:
    """`secret`: the name of the Secret; `now`: seconds since the epoch; `assumed`: makes keys of the role that spec
    names, of those of the Secret (None where there is none)."""

    def __init__(
        self,
        client: Client,
        spec: SageMaker,
        login: Login,
        secret: str | None,
        now: Callable[[], float],
        assumed: Callable[[Keys | None], Awaitable[Keys]] | None = None,
    ) -> None:
        self._client = client
        self._region = spec.region
        suffix = "amazonaws.com.cn" if spec.region.startswith("cn-") else "amazonaws.com"
        self._url = checked(spec.endpoint_url or f"https://api.sagemaker.{spec.region}.{suffix}")
        self._host = host_of(self._url)
        self._base = None if secret is None and spec.role_arn is not None else _keys(login, secret)
        self._assumed = assumed if spec.role_arn is not None else None
        self._login = f"the role {spec.role_arn}" if spec.role_arn is not None else f"the Secret {secret}"
        self._now = now

    async def check(self) -> None:
        await self._call("ListModelPackageGroups", {"MaxResults": 1}, "There is no such list")

    async def resolve(self, reference: Reference, known: Resolved | None) -> Resolved:  # noqa: ARG002
        if not isinstance(reference, Package):
            raise RegistryError("WrongRegistry", "SageMaker has no MLflow models")
        if reference.version is None:
            arn = await self._newest(reference.arn.rpartition("/")[2] if reference.arn else reference.group)
        else:
            arn = reference.arn or await self._arn(reference.group, reference.version)
        missing = (
            f"SageMaker has no model package {arn.rpartition(':')[2]} (any more). Name one that is there in "
            f"spec.model.uri"
        )
        found = await self._call("DescribeModelPackage", {"ModelPackageName": arn}, missing)
        return _resolved(reference, found)

    async def write(self, step: Step) -> None:
        """Properties alone: whether a package is approved is for people to say."""
        if not isinstance(step, SetTag) or step.of.package is None:
            raise RegistryError(
                "NoAliases", "SageMaker has no aliases. Remove spec.rollout.promotedAlias", answered=True
            )
        named = {"ModelPackageName": step.of.package}
        missing = f"SageMaker has no model package {step.of.package.rpartition(':')[2]} any more"
        found = await self._call("DescribeModelPackage", named, missing)
        known = found.get("CustomerMetadataProperties") or {}
        if known.get(step.key) == step.value:
            return
        if step.key not in known and len(known) >= PROPERTIES:
            if step.value == REPLACED:
                return  # it never got the stage that this takes back
            raise RegistryError(
                "TooManyProperties",
                f"Version {step.of.version} of {step.of.model} has {PROPERTIES} CustomerMetadataProperties, as many as "
                "SageMaker takes. Remove some, or set spec.writeBack.tags of the ModelRegistry to false",
                answered=True,
            )
        # All of them: SageMaker does not say whether those that are not named stay.
        told = {"ModelPackageArn": step.of.package, "CustomerMetadataProperties": {**known, step.key: step.value}}
        await self._call("UpdateModelPackage", told, missing, UPDATE)

    async def _newest(self, group: str) -> str:
        """The ARN of the newest package that is approved."""
        asked: dict[str, Any] = {
            "ModelPackageGroupName": group, "ModelApprovalStatus": APPROVED, "SortBy": "CreationTime",
            "SortOrder": "Descending", "MaxResults": 1,
        }  # fmt: skip
        missing = f"SageMaker has no group {group} in {self._region}. Correct spec.model.uri or spec.sageMaker.region"
        for _ in range(PAGES):
            page = await self._call("ListModelPackages", asked, missing)
            for each in page.get("ModelPackageSummaryList") or ():
                if each.get("ModelApprovalStatus") == APPROVED:
                    return str(each["ModelPackageArn"])
            token = page.get("NextToken")
            if not token:
                break
            asked["NextToken"] = token
        raise RegistryError(
            "NoApprovedVersion",
            f"No model package of the group {group} is approved. Approve one (ModelApprovalStatus Approved)",
            answered=True,
        )

    async def _arn(self, group: str, version: str) -> str:
        """A package's, by its group's: that has the account in it."""
        missing = f"SageMaker has no group {group} in {self._region}. Correct spec.model.uri or spec.sageMaker.region"
        found = await self._call("DescribeModelPackageGroup", {"ModelPackageGroupName": group}, missing)
        return f"{str(found['ModelPackageGroupArn']).replace(':model-package-group/', ':model-package/')}/{version}"

    async def _call(self, action: str, asked: Mapping[str, Any], missing: str, right: str = READ) -> Mapping[str, Any]:
        body = json.dumps(asked).encode()
        headers = {"Content-Type": _TYPE, "X-Amz-Target": f"SageMaker.{action}"}
        url = URL(self._url) / ""
        keys = self._base if self._assumed is None else await self._assumed(self._base)
        if keys is None:
            raise RegistryError("RoleNotAllowed", "Nobody assumes the role; name a Secret in spec.credentialsSecret")
        signed = sign(keys, url, headers, body, self._region, "sagemaker", self._now())
        answer = await self._client.send("POST", url, signed, body)
        if answer.status == 200:
            return answer.json(self._host)
        raise self._refusal(answer, missing, right)

    def _refusal(self, answer: Answer, missing: str, right: str) -> RegistryError:
        error = answer.error
        code = str(error.get("__type") or "").rpartition("#")[2]
        said = quoted(error.get("message") or error.get("Message") or "")
        if code in _UNKNOWN_LOGIN:
            return refused(Answer(401, b""), self._host, said, self._login)
        if code in ("AccessDeniedException", "AccessDenied"):
            return refused(Answer(403, b""), self._host, said, self._login, right)
        if code in _TOO_MANY:
            return refused(Answer(429, b"", None, answer.retry_after), self._host, said, self._login)
        if code in _MISSING:
            told = f" ({said.rstrip('.')})" if said else ""
            return RegistryError("VersionMissing", f"{missing}{told}", answered=True)
        return refused(answer, self._host, said, self._login)


def _resolved(reference: Package, found: Mapping[str, Any]) -> Resolved:
    """Raises RegistryError."""
    version, state = str(found.get("ModelPackageVersion") or reference.version or "1"), found.get("ModelApprovalStatus")
    if state != APPROVED:
        raise RegistryError(
            "NotApproved",
            f"Version {version} of {reference.group} is {quoted(state or 'not approved')} in SageMaker. Approve it, "
            f"or name "
            "another one",
            answered=True,
        )
    containers = (found.get("InferenceSpecification") or {}).get("Containers") or [{}]
    first = containers[0]
    source = first.get("ModelDataUrl") or ((first.get("ModelDataSource") or {}).get("S3DataSource") or {}).get("S3Uri")
    try:
        uri = usable(str(source or ""))
    except UnusableSourceError as error:
        raise RegistryError("SourceNotReadable", f"Version {version}: {error}", answered=True) from None
    created = found.get("CreationTime")
    return Resolved(
        uri,
        version,
        created=float(created) if isinstance(created, (int, float)) and 0 < created < 1 << 33 else None,
        lineage=lineage_of(found, first),
    )


def lineage_of(found: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any]:
    """As status has it, of a package as DescribeModelPackage tells of it."""
    made, by = found.get("MetadataProperties") or {}, found.get("LastModifiedBy") or {}
    framework, version = container.get("Framework"), container.get("FrameworkVersion")
    told = {
        "name": word(found.get("ModelPackageGroupName") or ""),
        "modelId": word(found.get("ModelPackageArn") or ""),
        "runId": word(made.get("GeneratedBy") or ""),
        "commit": word(made.get("CommitId") or ""),
        "repository": repository(made.get("Repository") or ""),
        "parameters": words(
            {
                name: value
                for name, value in (found.get("CustomerMetadataProperties") or {}).items()
                if not str(name).startswith(OWN)  # what operators wrote of it is not where it came from
            }
        ),
        "frameworks": words({str(framework).lower(): version}) if framework and version else {},
        "registeredBy": word((found.get("CreatedBy") or {}).get("UserProfileName") or ""),
        "approvedBy": word(by.get("UserProfileName") or ""),
        "approval": word(found.get("ApprovalDescription") or ""),
    }
    return {name: value for name, value in told.items() if value}


def _keys(login: Login, secret: str | None) -> Keys:
    """Raises RegistryError."""
    found = login.secret
    identifier, key = found.get("AWS_ACCESS_KEY_ID"), found.get("AWS_SECRET_ACCESS_KEY")
    if not identifier or not key:
        where = f"The Secret {secret}" if secret else "spec.credentialsSecret of the ModelRegistry"
        raise RegistryError(
            "BadCredentials",
            f"{where} has to name AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, by which the operator asks SageMaker",
        )
    keys = Keys(identifier.strip(), key.strip(), (found.get("AWS_SESSION_TOKEN") or "").strip() or None)
    if not all(each is None or each.isprintable() for each in (keys.identifier, keys.token)):
        raise RegistryError("BadCredentials", f"The keys in the Secret {secret} are not printable; correct them")
    return keys
