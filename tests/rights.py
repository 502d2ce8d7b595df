"""RBAC rules held against what the API server was really asked, by its audit log: what was denied, what was not used.

Pure: rules and audit events (https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/) in, rights out.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]

_CREATED = 201
_FORBIDDEN = 403


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource (with its subresource: `pods/status`). `name`: of the one object it is for, '' any."""

    group: str
    resource: str
    verb: str
    name: str = ""

    def __str__(self) -> str:
        where = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {where}{f' {self.name}' if self.name else ''}"

    def allows(self, asked: "Right") -> bool:
        """Whether a request for `asked` needs no more than this. Kubernetes' `*` in each place."""
        pairs = ((self.group, asked.group), (self.resource, asked.resource), (self.verb, asked.verb))
        return all(ours in ("*", theirs) for ours, theirs in pairs) and self.name in ("", asked.name)


def rights_of(rules: Iterable[Mapping[str, Any]]) -> frozenset[Right]:
    """The rights of a Role's or ClusterRole's rules, one by one. Those to paths that are no resources are left out."""
    return frozenset(
        Right(*each)
        for rule in rules
        if "resources" in rule
        for each in product(rule["apiGroups"], rule["resources"], rule["verbs"], rule.get("resourceNames") or ("",))
    )


def asked_for(event: Event) -> tuple[Right, ...]:
    """The rights that one request needs; none where it was for no resource.

    Server-side apply that makes its object is one request, a `patch`, and needs the right to `create` as well.
    """
    reference = event.get("objectRef")
    if not reference:
        return ()
    resource = "/".join(part for part in (reference["resource"], reference.get("subresource")) if part)
    group, name = reference.get("apiGroup", ""), reference.get("name", "")
    asked = Right(group, resource, event["verb"], name)
    made = event["verb"] == "patch" and code_of(event) == _CREATED
    return (asked, Right(group, resource, "create", name)) if made else (asked,)


def code_of(event: Event) -> int:
    """The HTTP code of the answer; 0 where there is none yet."""
    return int((event.get("responseStatus") or {}).get("code") or 0)


def unused(rights: Iterable[Right], events: Iterable[Event]) -> list[Right]:
    """The rights that no request needed that was let through, in order."""
    asked = {right for event in events if code_of(event) != _FORBIDDEN for right in asked_for(event)}
    return sorted(right for right in rights if not any(right.allows(each) for each in asked))


def denied(events: Iterable[Event]) -> list[str]:
    """Each request that was answered with 403, once, as a sentence: `verb path: what the API server said`."""
    found = (event for event in events if code_of(event) == _FORBIDDEN)
    return sorted(
        {f"{each['verb']} {each['requestURI']}: {each['responseStatus'].get('message', '')}" for each in found}
    )


def events_of(log: Path, user: str, since: str) -> Iterator[Event]:
    """The events of `user` in an audit log, in the files that it was rotated into, too. `since`: RFC 3339, UTC, with
    microseconds, as the log has it."""
    for path in sorted(log.parent.glob(f"{log.stem}*{log.suffix}")):
        with path.open() as lines:
            for line in lines:
                # Most of a log is of others: what can't be of this user is not parsed.
                if user in line and line.endswith("\n"):
                    event = json.loads(line)
                    if event["user"]["username"] == user and event["requestReceivedTimestamp"] >= since:
                        yield event
