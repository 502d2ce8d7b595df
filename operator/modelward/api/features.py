"""Where a model's features are looked up, as a user asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_TIMEOUT, DEFAULT_CONCURRENT = "500ms", 64


@dataclass(frozen=True)
class Entity:
    """A key that requests bring. `type`: Int64 or String."""

    name: str
    type: str


@dataclass(frozen=True)
class TokenReference:
    """The entry of a Secret of the same namespace that holds a bearer token."""

    name: str
    key: str = "token"


@dataclass(frozen=True)
class Features:
    """`url`: of a Feast feature server; `service`: the feature service there; `digest`: of its definitions, None: any.
    `max_age`: from where a value is stale, as 24h, None: never; `on_missing`: Refuse, Null or Default, with `defaults`
    by feature; `on_stale`: Refuse or Use. `timeout`, `max_concurrent`: of questions."""

    url: str
    service: str
    entities: tuple[Entity, ...]
    token_secret: TokenReference | None = None
    digest: str | None = None
    max_age: str | None = None
    on_missing: str = "Refuse"
    defaults: Mapping[str, str] = field(default_factory=dict)
    on_stale: str = "Refuse"
    timeout: str = DEFAULT_TIMEOUT
    max_concurrent: int = DEFAULT_CONCURRENT


def parse_features(raw: Mapping[str, Any]) -> Features:
    """`spec.features`. Raises KeyError, TypeError for what the CRD would have refused."""
    secret = raw.get("tokenSecret")
    return Features(
        url=str(raw["url"]),
        service=str(raw["service"]),
        entities=tuple(Entity(str(each["name"]), str(each["type"])) for each in raw["entities"]),
        token_secret=TokenReference(str(secret["name"]), str(secret.get("key", TokenReference.key)))
        if secret
        else None,
        digest=raw.get("digest"),
        max_age=raw.get("maxAge"),
        on_missing=str(raw.get("onMissing", Features.on_missing)),
        defaults={str(name): str(value) for name, value in (raw.get("defaults") or {}).items()},
        on_stale=str(raw.get("onStale", Features.on_stale)),
        timeout=str(raw.get("timeout", Features.timeout)),
        max_concurrent=int(raw.get("maxConcurrent", Features.max_concurrent)),
    )
