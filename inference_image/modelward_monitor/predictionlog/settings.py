"""What the environment tells of the prediction log: where to, of which rows, and which columns are changed."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import orjson

from modelward_inference.errors import InvalidConfiguration
from modelward_monitor.predictionlog.journal import Limits

MODES: Final = ("exclude", "hash", "truncate")

MOST_CHARACTERS: Final = 10_000

KEY: Final = "key"
"""The column with the callers' own keys."""

OUTCOMES_SHARE: Final = 8
OUTCOMES_BYTES: Final = 64 << 20
"""Outcomes may take so much of the disk: a part of what the log may have, and no more than this."""


@dataclass(frozen=True)
class Columns:
    """What happens to columns, by name: `exclude`, `hash` (with `key`, of bytes), `truncate` (characters)."""

    exclude: frozenset[str] = frozenset()
    hash: frozenset[str] = frozenset()
    truncate: Mapping[str, int] = field(default_factory=dict)
    key: bytes = b""


@dataclass(frozen=True)
class LogSettings:
    """`uri`: s3://bucket/prefix, or an absolute folder that is there, `prefix`: a folder below it; `credentials`: a
    folder with a file for each variable; `fraction`: of requests that are logged; `captured`: of those that the monitor
    gets; `retention`: days, None: for ever; `entities`: keys that features are looked up by, datatypes by name."""

    uri: str
    namespace: str
    model: str
    revision: str
    pod: str
    bundle: Path
    folder: Path
    prefix: str = ""
    credentials: Path | None = None
    fraction: float = 1.0
    captured: float = 1.0
    retention: int | None = None
    columns: Columns = Columns()
    limits: Limits = field(default_factory=Limits)
    entities: Mapping[str, str] = field(default_factory=dict)

    @property
    def outcomes_folder(self) -> Path:
        """Of segments."""
        return self.folder / "outcomes"

    @property
    def outcomes_limits(self) -> Limits:
        return replace(self.limits, disk=min(self.limits.disk // OUTCOMES_SHARE, OUTCOMES_BYTES))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, *, with_key: bool = True) -> Self | None:
        """None where no log is wanted. `with_key`: read the key that columns are hashed with; who does not need
        it must not fail for want of it. Raises InvalidConfiguration."""
        uri = environment.get("PREDICTION_LOG_URI", "")
        if not uri:
            return None
        if not re.fullmatch(r"s3://[^/\s]+(/\S*)?|/\S*", uri):
            raise InvalidConfiguration(
                f"PREDICTION_LOG_URI is {uri[:200]!r}; set it to s3://bucket/prefix, or to a folder's absolute path"
            )

        def named(name: str) -> str:
            value = environment.get(name, "")
            if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", value, re.ASCII):
                raise InvalidConfiguration(f"{name} is {value[:100]!r}; set it to a name that may be a folder's")
            return value

        def share(name: str) -> float:
            text = environment.get(name, "1")
            if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII) or not 0 < float(text) <= 1:
                raise InvalidConfiguration(f"{name} is {text[:50]!r}; set it to a fraction above 0, at most 1")
            return float(text)

        def number(name: str, default: int, least: int, most: int) -> int:
            text = environment.get(name, str(default))
            if not re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) or not least <= int(text) <= most:
                raise InvalidConfiguration(f"{name} is {text[:50]!r}; set it to a whole number, {least} to {most}")
            return int(text)

        credentials = environment.get("PREDICTION_LOG_CREDENTIALS_DIR")
        pod = environment.get("POD_UID", "") or os.uname().nodename
        return cls(
            uri=uri.rstrip("/") if uri.startswith("s3://") else uri,
            namespace=named("MODEL_NAMESPACE"),
            model=named("MODEL_NAME"),
            revision=named("MODEL_REVISION"),
            pod=re.sub(r"[^A-Za-z0-9-]", "-", pod)[:80],
            bundle=Path(environment.get("BUNDLE_DIR", "/bundle")),
            prefix=_prefix(environment.get("PREDICTION_LOG_PREFIX", "")),
            folder=Path(environment.get("PREDICTION_LOG_DIR") or environment.get("MONITOR_DIR", "/monitor") + "/log"),
            credentials=Path(credentials) if credentials else None,
            fraction=share("PREDICTION_LOG_FRACTION"),
            captured=share("PREDICTION_LOG_CAPTURED"),
            retention=number("PREDICTION_LOG_RETENTION_DAYS", 0, 0, 36_500) or None,
            columns=_columns(environment, with_key=with_key),
            limits=Limits(
                number("PREDICTION_LOG_DISK_BYTES", Limits.disk, 1 << 20, 1 << 40),
                number("PREDICTION_LOG_SEGMENT_BYTES", Limits.segment, 1 << 10, 1 << 30),
                number("PREDICTION_LOG_SECONDS", int(Limits.seconds), 1, 86_400),
            ),
            entities=_entities(environment.get("PREDICTION_LOG_ENTITIES", "{}")),
        )


def _prefix(text: str) -> str:
    if text.startswith("/") or ".." in text.split("/"):
        raise InvalidConfiguration(f"PREDICTION_LOG_PREFIX is {text[:200]!r}; set it to a folder's name, such as a/b")
    return text.strip("/")


def _entities(text: str) -> Mapping[str, str]:
    try:
        raw: Any = orjson.loads(text)
        fits = isinstance(raw, dict) and all(kind in ("INT64", "BYTES") for kind in raw.values())
    except ValueError:
        fits = False
    if not fits:
        raise InvalidConfiguration(
            'PREDICTION_LOG_ENTITIES can\'t be read; set it to INT64 or BYTES by name, as {"driver_id": "INT64"}'
        )
    return dict(raw)


def _columns(environment: Mapping[str, str], *, with_key: bool) -> Columns:
    text = environment.get("PREDICTION_LOG_COLUMNS", "{}")
    try:
        raw: Any = orjson.loads(text)
        exclude, hashed = (frozenset(map(str, raw.get(name, ()))) for name in ("exclude", "hash"))
        truncate = {str(name): int(characters) for name, characters in raw.get("truncate", {}).items()}
        unknown = sorted(set(raw) - set(MODES))
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidConfiguration(f"PREDICTION_LOG_COLUMNS can't be read: {error}") from None
    if unknown:
        raise InvalidConfiguration(f"PREDICTION_LOG_COLUMNS has {', '.join(unknown)}; it may have {', '.join(MODES)}")
    if not all(0 <= each <= MOST_CHARACTERS for each in truncate.values()):
        raise InvalidConfiguration(f"PREDICTION_LOG_COLUMNS.truncate: write 0 to {MOST_CHARACTERS} characters")
    if not with_key:
        return Columns(exclude, hashed, truncate)
    path = environment.get("PREDICTION_LOG_HASH_KEY_FILE")
    key = environment.get("PREDICTION_LOG_HASH_KEY", "").encode()
    if path:
        try:
            key = Path(path).read_bytes()
        except OSError as error:
            raise InvalidConfiguration(f"PREDICTION_LOG_HASH_KEY_FILE can't be read: {error}") from None
    if hashed and len(key) < 16:
        raise InvalidConfiguration(
            "PREDICTION_LOG_COLUMNS hashes columns, which takes a key of 16 bytes at least: who guesses it guesses the "
            "values; name a Secret in spec.predictionLog.hashKeySecret"
        )
    return Columns(exclude, hashed, truncate, key)
