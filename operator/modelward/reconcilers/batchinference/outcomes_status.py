"""What a BatchInference's status says of its predictions once outcomes are known: the condition OutcomesWorse. Pure.

A DriftPolicy that names the batch in spec.quality.predictions finds it out; what its status tells is told here as well,
where somebody looks who has the batch.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from modelward.api.batchinference import BatchInference
from modelward.api.conditions import MEASURED, OUTCOMES_WORSE, Condition
from modelward.net.untrusted import printable
from modelward.quality.rules import BUSINESS, FAIRNESS, QUALITY
from modelward.values.stored import Stored, known

LONGEST: Final = 500
"""Characters of what one policy says."""

NAMED: Final = 3
"""Policies, and of each the bounds that are passed, that a sentence names."""

WAITING: Final = "Waiting"

_KINDS: Final = (QUALITY, FAIRNESS, BUSINESS)

_ORDER: Final = (True, None, False)
"""Of what several policies say: the worst counts."""

_WORD: Final = re.compile(r"[A-Z][A-Za-z]{0,39}")

Said = tuple[bool | None, str, str]
"""Status, reason and message."""


class _Signal(Stored):
    kind: str = ""
    breached: bool = False
    message: str = ""


class _Target(Stored):
    name: str = ""
    signals: list[_Signal] = msgspec.field(default_factory=list)


class _Condition(Stored):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class _Told(Stored):
    """Of a policy's status what matters here."""

    targets: list[_Target] = msgspec.field(default_factory=list)
    conditions: list[_Condition] = msgspec.field(default_factory=list)


def batch_named(policy: Mapping[str, Any]) -> str | None:
    """The BatchInference that a DriftPolicy judges by outcomes. `policy`: as the API server has it."""
    try:
        name = policy["spec"]["quality"]["predictions"]["batchInference"]
    except (KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def condition(batch: BatchInference, policies: Iterable[Mapping[str, Any]]) -> Condition | None:
    """`policies`: of the batch's namespace. None where none of them judges it. What nobody knows is Unknown."""
    found = [
        (str(each["metadata"]["name"]), _said(batch, each))
        for each in policies
        if batch_named(each) == batch.name and not each["metadata"].get("deletionTimestamp")
    ]
    if not found:
        return None
    found.sort(key=lambda each: (_ORDER.index(each[1][0]), each[0]))
    status, reason, _ = found[0][1]
    told = [f"{message.rstrip('.')}. By DriftPolicy {name}" for name, (_, _, message) in found[:NAMED]]
    return Condition(OUTCOMES_WORSE, status, reason, "; ".join(told))


def _said(batch: BatchInference, policy: Mapping[str, Any]) -> Said:
    try:
        told = known(_Told, policy.get("status") or {})
    except ValueError:
        return None, WAITING, "Its status can't be read"
    own = [each for each in told.targets if each.name == batch.spec.model.model_deployment]
    worse = [each.message for target in own for each in target.signals if each.breached and each.kind in _KINDS]
    if worse:
        return True, "Worse", _cut("; ".join(worse[:NAMED]))
    measured = next((each for each in told.conditions if each.type == MEASURED), None)
    if measured is None:
        return None, WAITING, "Nothing is measured yet"
    if measured.status == "True":
        return False, "NotWorse", _cut(measured.message)
    return None, measured.reason if _WORD.fullmatch(measured.reason) else WAITING, _cut(measured.message)


def _cut(text: str) -> str:
    return printable(text[:LONGEST])
