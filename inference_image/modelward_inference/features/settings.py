"""What the environment tells of a model's features: which store, which feature service, and what is done without one.

Failure: InvalidConfiguration, at the start, by the variable's name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import orjson

from modelward_inference.errors import InvalidConfiguration

REFUSE, NULL, DEFAULT, USE = "Refuse", "Null", "Default", "Use"
"""What becomes of a request whose feature is missing (Refuse, Null, Default) or stale (Refuse, Use)."""

TYPES: Final[Mapping[str, str]] = {"Int64": "INT64", "String": "BYTES"}
"""Datatypes of keys, as spec names them, by the Open Inference Protocol's."""

MAX_ENTITIES, MAX_CONCURRENT = 8, 9999
TIMEOUT, CONCURRENT = 0.5, 64

VARIABLE: Final = "MODEL_FEATURES"
"""All of it, as a JSON object: what is set up is set up together."""

FIELDS: Final = frozenset({
    "url", "service", "entities", "onMissing", "onStale", "maxAge", "defaults", "timeout", "maxConcurrent", "tokenFile",
    "digest",
})  # fmt: skip

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_SERVICE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_PATH: Final = re.compile(r"/[\x21-\x7e]+", re.ASCII)


@dataclass(frozen=True)
class Entity:
    """A key that requests bring. `datatype`: INT64 or BYTES."""

    name: str
    datatype: str


@dataclass(frozen=True)
class FeatureSettings:
    """`url`: of a Feast feature server; `service`: the feature service there; `max_age`: seconds, from where a value is
    stale, None: never; `defaults`: by feature, as text; `timeout`: seconds of a question; `concurrent`: questions at
    once; `token`: the file of a bearer token; `digest`: of the definitions, None: any."""

    url: str
    service: str
    entities: tuple[Entity, ...]
    on_missing: str = REFUSE
    on_stale: str = REFUSE
    max_age: float | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)
    timeout: float = TIMEOUT
    concurrent: int = CONCURRENT
    token: Path | None = None
    digest: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """None where requests bring their features themselves. Raises InvalidConfiguration."""
        text = environment.get(VARIABLE, "")
        if not text:
            return None
        try:
            raw: Any = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise InvalidConfiguration(f"{VARIABLE} is no JSON: {error}; set it to an object with url, …") from None
        if not isinstance(raw, dict) or not raw.keys() <= FIELDS:
            raise InvalidConfiguration(f"{VARIABLE} has to be an object of {', '.join(sorted(FIELDS))}")
        token = raw.get("tokenFile")
        return cls(
            url=_url(raw.get("url")),
            service=_text("service", raw.get("service"), _SERVICE, "a feature service's name"),
            entities=_entities(raw.get("entities")),
            on_missing=_one_of("onMissing", raw, REFUSE, NULL, DEFAULT),
            on_stale=_one_of("onStale", raw, REFUSE, USE),
            max_age=_seconds("maxAge", raw.get("maxAge")),
            defaults=_defaults(raw.get("defaults", {})),
            timeout=_seconds("timeout", raw.get("timeout")) or TIMEOUT,
            concurrent=_concurrent(raw.get("maxConcurrent", CONCURRENT)),
            token=None if token is None else Path(_text("tokenFile", token, _PATH, "a file's absolute path")),
            digest=None if raw.get("digest") is None else _text("digest", raw["digest"], _DIGEST, "sha256:…"),
        )


def _wrong(field: str, value: Any, cure: str) -> InvalidConfiguration:
    return InvalidConfiguration(f"{VARIABLE}.{field} is {str(value)[:200]!r}; set it to {cure}")


def _text(field: str, value: Any, form: re.Pattern[str], cure: str) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise _wrong(field, value, cure)
    return value


def _one_of(field: str, raw: Mapping[str, Any], *choices: str) -> str:
    value = raw.get(field, choices[0])
    if value not in choices:
        raise _wrong(field, value, f"one of {', '.join(choices)}")
    return str(value)


def _seconds(field: str, value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value < 1e9:
        raise _wrong(field, value, "seconds above 0, such as 0.5")
    return float(value)


def _concurrent(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_CONCURRENT:
        raise _wrong("maxConcurrent", value, f"1 to {MAX_CONCURRENT}")
    return value


def _url(url: Any) -> str:
    cure = "a feature server's address, such as http://feast.features:6566, without a login, a query or a fragment"
    shown = str(url).rpartition("@")[2]
    # What is beyond printable ASCII, or between lines, would be headers of its own.
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        raise _wrong("url", shown, cure)
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise _wrong("url", shown, cure) from None
    if not fits or "@" in parts.netloc or parts.query or parts.fragment:
        raise _wrong("url", shown, cure)
    return url.rstrip("/")


def _entities(raw: Any) -> tuple[Entity, ...]:
    cure = f'1 to {MAX_ENTITIES} keys with their types (Int64, String), such as {{"driver_id": "Int64"}}'
    if not isinstance(raw, dict) or not 1 <= len(raw) <= MAX_ENTITIES:
        raise _wrong("entities", raw, cure)
    for name, kind in raw.items():
        if not _NAME.fullmatch(name) or kind not in TYPES:
            raise _wrong("entities", raw, cure)
    return tuple(Entity(name, TYPES[kind]) for name, kind in raw.items())


def _defaults(raw: Any) -> Mapping[str, str]:
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise _wrong("defaults", raw, 'texts by feature, such as {"trips": "0"}')
    return dict(raw)
