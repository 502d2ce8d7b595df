"""What a namespace allows its models to be, beside what the installation allows everywhere."""

from dataclasses import replace

from modelward.api.names import LABEL_ALLOWED_FORMATS
from modelward.kube.cache import Cache
from modelward.kube.resources import NAMESPACES
from modelward.models import consent
from modelward.platform import Platform
from modelward.revisions.observed.workloads import label


def why_unread(cache: Cache, namespace: str) -> str | None:
    """Why the namespace's label is not known, in the API server's words; None where it is."""
    return cache.unread.get(namespace) or cache.withheld.get(NAMESPACES)


def platform_of(platform: Platform, cache: Cache, namespace: str) -> Platform:
    """`platform` with the formats that the namespace's label names besides; a label that can't be read names none."""
    body = None if why_unread(cache, namespace) else cache.get(NAMESPACES, "", namespace)
    value = None if body is None else label(body, LABEL_ALLOWED_FORMATS)
    found = {*platform.allowed_formats, *consent.of_label(value)}
    return replace(platform, allowed_formats=tuple(each for each in consent.FORMATS if each in found))
