"""What differs between two revisions, of what is known of both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modelward_cli.lineage.origin import Origin

GROUPS = ("parameters", "metrics", "frameworks", "signature")


@dataclass(frozen=True)
class Difference:
    """`what`: as a path, such as `parameters.max_depth`; None: there is none on that side."""

    what: str
    before: str | None
    now: str | None


def differences(before: Origin, now: Origin) -> list[Difference]:
    """In the order in which people ask. The same metric of both is there even where it is equal to the digit."""
    old, new = dict(_facts(before)), dict(_facts(now))
    names = [*new, *(name for name in old if name not in new)]
    order = {group: place for place, group in enumerate(("", "dataSets", *GROUPS))}
    names.sort(key=lambda name: order.get(name.partition(".")[0] if "." in name else "", 0))
    return [Difference(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def _facts(of: Origin) -> Iterator[tuple[str, str]]:
    plain: Mapping[str, str | None] = {
        "version": of.version, "uri": of.uri, "digest": of.digest, "format": of.format, "signedBy": of.signed_by,
        "run": of.text("runId"), "retrainingRun": of.run, "repository": of.text("repository"),
        "commit": of.text("commit"), "registeredBy": of.text("registeredBy"), "approvedBy": of.text("approvedBy"),
        "features.service": of.features.get("service"), "features.digest": of.features.get("digest"),
    }  # fmt: skip
    yield from ((name, value) for name, value in plain.items() if value)
    seen: dict[str, int] = {}
    for name, digest in of.data_sets:
        seen[name] = seen.get(name, 0) + 1
        yield f"dataSets.{name}" + (f" ({seen[name]})" if seen[name] > 1 else ""), digest
    for group in GROUPS:
        yield from ((f"{group}.{name}", value) for name, value in of.texts(group).items())
