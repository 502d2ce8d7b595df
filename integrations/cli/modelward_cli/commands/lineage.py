"""`lineage REVISION|MODEL|REQUEST_ID`: which data and code made a model, and the one before it.

Exit code 0: it is known; 3: it could have been several; 1: nothing is known, or the cluster did not answer.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Final

from modelward_cli import times
from modelward_cli.commands.command import Command
from modelward_cli.kubectl import Kubectl, KubectlError
from modelward_cli.lineage.answers import MAX_ID, SHADOW, Search, search
from modelward_cli.lineage.document import MODEL, REQUEST, REVISION, Found, Report, document
from modelward_cli.lineage.origin import LEAVING, SERVERS, Models, Origin
from modelward_cli.lineage.possible import possible
from modelward_cli.lineage.text import text

KNOWN, UNKNOWN, UNCERTAIN = 0, 1, 3


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="REVISION|MODEL|REQUEST_ID", help="what to tell of; an answer's x-request-id")
    parser.add_argument("--model", help="look for the request among the pods of this model alone")
    parser.add_argument("--at", type=_time, metavar="TIME", help="when the request came (RFC 3339), where no pod knows")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(options: argparse.Namespace, kubectl: Kubectl) -> int:
    notes: list[str] = []
    models = _models(kubectl, notes)
    report = _report(options, kubectl, models, notes)
    if options.output == "json":
        print(json.dumps(document(report), indent=2))
    else:
        sys.stdout.write(text(report))
    if not report.found:
        return UNKNOWN
    return KNOWN if any(each.certain for each in report.found) else UNCERTAIN


def _models(kubectl: Kubectl, notes: list[str]) -> Models:
    deployments = kubectl.listed("modeldeployments.modelward.io")
    records = kubectl.listed("controllerrevisions.apps", SERVERS)
    try:
        runs = kubectl.listed("retrainingruns.modelward.io")
    except KubectlError as error:
        runs = []
        notes.append(f"Which retraining run made a model is not known: {error}")
    return Models(deployments, records, runs)


def _report(options: argparse.Namespace, kubectl: Kubectl, models: Models, notes: list[str]) -> Report:
    name: str = options.name
    namespace = models.namespace() or kubectl.namespace
    if name in models.names:
        found = _found(models, models.serving(name))
        if not found:
            notes.append(f"Nothing was made of the ModelDeployment {name} yet; kubectl describe md {name} says why.")
        return Report(MODEL, name, namespace, found, notes)
    if owner := models.owner_of(name):
        found = _found(models, [name])
        if not found:
            notes.append(
                f"{name} is a revision of {owner} by its name, and it is gone: its ControllerRevision was deleted, and "
                f"it is none of the last three that were stable, of which status tells. The registry and Git know more."
            )
        return Report(REVISION, name, namespace, found, notes)
    if options.model and options.model not in models.names:
        raise KubectlError(f"there is no ModelDeployment {options.model} in the namespace {namespace or 'asked'}")
    if len(name) > MAX_ID or not name.isprintable():
        raise KubectlError(f"{name[:MAX_ID]!r} is no id of a request: at most {MAX_ID} printable characters")
    return _of_request(options, kubectl, models, notes)


def _of_request(options: argparse.Namespace, kubectl: Kubectl, models: Models, notes: list[str]) -> Report:
    name, namespace = options.name, models.namespace() or kubectl.namespace
    searched = search(kubectl, name, options.model)
    revisions = list(dict.fromkeys(each.revision for each in searched.answers))
    found = []
    for revision in revisions:
        answers = [answer for answer in searched.answers if answer.revision == revision]
        # Where all else of it is gone, there is the pod still.
        origin = models.origin(revision) or Origin(answers[0].model, revision, LEAVING)
        certain = any(answer.arm != SHADOW for answer in answers)
        found.append(Found(origin, models.before(origin), certain=certain, answers=answers))
    notes += _of_pods(searched)
    seen = [each for each in found if each.certain]
    if len(seen) > 1:
        found.sort(key=lambda each: each in seen and bool(each.origin.mirror and not each.origin.weight))
        copies = [each.origin.revision for each in seen if each.origin.mirror and not each.origin.weight]
        told = f" {', '.join(copies)} gets nothing but copies now." if copies else ""
        notes.append(
            f"Several revisions remember it: but for one they got copies of it, or the client sent the id twice.{told}"
        )
    if seen:
        return Report(REQUEST, name, namespace, found, notes, searched)
    notes.insert(0, _not_found(searched, options.name))
    if found:
        notes.insert(0, "Only a copy of the request is remembered: another revision answered the client.")
    if not models.names:
        where = f"The namespace {kubectl.namespace}" if kubectl.namespace else "The namespace of kubectl's context"
        notes.append(f"{where} has no ModelDeployment; name another one with -n.")
    for model in [options.model] if options.model else models.names:
        if sampled := models.sampling(model):
            notes.append(f"{model}: spec.monitor.samplingFraction is {sampled}; what it leaves out nobody remembers.")
        could = possible(models, model, options.at)
        for each in could:
            known = models.origin(each.revision)
            if known is not None and each.revision not in revisions:
                found.append(Found(known, models.before(known), certain=False, share=each.share))
        if not could and options.at is not None:
            notes.append(f"Which revision of {model} was stable at that time is not known.")
    if found and options.at is None:
        notes.append("Shares are those of now; --at TIME tells of another time.")
    return Report(REQUEST, name, namespace, found, notes, searched)


def _not_found(searched: Search, name: str) -> str:
    told = [each for each in searched.pods if each.problem is None]
    since = min((each.since for each in told if each.since), default=None)
    where = f"{len(told)} pod{'s' if len(told) != 1 else ''} with a monitor"
    reach = f", whose memory begins at {since}" if since else ""
    return (
        f"No pod knows who answered the request {name}: {where} looked{reach}. It may be older, of a pod that is gone, "
        "one that was refused or failed, one that was not captured, or not of this namespace."
    )


def _of_pods(searched: Search) -> Sequence[str]:
    notes = [f"{each.pod} could not be asked: {each.problem}" for each in searched.pods if each.problem]
    if searched.without:
        notes.append(
            f"Without a monitor (spec.monitor), and so without a memory of requests: {', '.join(searched.without)}."
        )
    return notes


def _found(models: Models, revisions: Sequence[str]) -> list[Found]:
    origins = [origin for name in revisions if (origin := models.origin(name)) is not None]
    return [Found(each, models.before(each)) for each in origins]


def _time(text_: str) -> float:
    try:
        return times.read(text_)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text_!r} is no time such as 2026-01-31T07:15:00Z") from None


COMMAND: Final = Command("lineage", "which data and code made a model, or the answer to a request", add, run)
