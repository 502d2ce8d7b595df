"""Takes out of objects and logs what is nobody else's business. Pure.

Invariant: of an object nothing goes on but what has been looked at, string by string: values of environment variables,
words of command lines, data of ConfigMaps, paths of webhooks and annotations of others are left out whoever wrote them,
and of every other text, logs too, the values of the Secrets that are known and whatever looks like a credential.
"""

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, quote_plus

GONE: Final = "<redacted>"

SHORTEST: Final = 4
"""Characters of a Secret's value that is looked for: what is shorter is in every text."""

SHORTEST_PART: Final = 6
"""Of what stands behind `=` or `:` in a value, or is a text in its JSON: `true` is in every text, too."""

SHORTEST_LINE: Final = 12
"""Of one line of a value that has several."""

OURS: Final = ("modelward.io/", "app.kubernetes.io/", "deployment.kubernetes.io/", "batch.kubernetes.io/")
"""Annotations whose values are kept; they are looked through like any text."""

ROUTES: Final = ("clusters.json", "routes.json")
"""Data of ConfigMaps that is kept: who gets which requests."""

WORDS: Final = frozenset({
    "serve", "monitor", "download", "compile", "load", "fetch", "keep", "keep-bundle", "answered", "envoy",
    "modelward_inference", "-m",
})  # fmt: skip
"""Of command lines, those that are ours."""

_SECRETIVE: Final = (
    r"pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?"
    r"|auth(?!ors?\b|ored)"
)
_NAMED: Final = re.compile(rf"(?i)(?:^|[_.-])(?:{_SECRETIVE}|key|dsn|cookie|signature)(?:$|[_.-])")

_PATTERNS: Final = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"),  # a JSON Web Token
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"(?<=://)[^/\s@\"'<>]+(?=@)"),  # user and password of an address
    re.compile(r"(?i)(?<=bearer )[^\s\"',]+|(?<=basic )[A-Za-z0-9+/=]{6,}"),
    re.compile(r"(?<=[\w/.~%-]\?)[\w.~%+-]{1,128}=[^\s\"'<>]+"),  # the query of an address
    re.compile(
        rf"(?i)(?:{_SECRETIVE})[\w.-]{{0,64}}[\"']?\s{{0,4}}(?:=|:\s)\s{{0,4}}"
        r"(?:\"(?:[^\"\\]|\\.){0,4096}\"|'[^']{0,4096}'|[^\s,;&\"'{}\[\]]+)"
    ),
)
"""What looks like a credential. Names go with their values.
Logs are others' to write, so each takes time in proportion to the text: parts that repeat have a bound, or a start that
can't be anywhere."""

_SECRET_KEY: Final = re.compile(rf"(?i)(?:{_SECRETIVE})(?!.*name$)")
"""Names of entries whose text is left out, wherever they are; `secretName` and its like name a Secret and are kept."""

Json = Mapping[str, Any]


def values_of(secrets: Iterable[Json], objects: Iterable[Json] = ()) -> list[str]:
    """What must not be in any text: the values of Secrets, and those that objects hand to environment variables which
    are named as if they were secret. In each form in which texts have them; the longest first."""
    found = {value for body in secrets for value in _decoded(body)}
    found |= {value for body in objects for value in _told_secrets(body)}
    forms = {form for value in found for form in _forms(value)}
    return sorted((each for each in forms if len(each) >= SHORTEST), key=len, reverse=True)


def secret_names(value: Any) -> Iterator[str]:
    """The Secrets that an object names, wherever it does."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if "secret" in str(key).lower():
                yield from _named(inner)
            yield from secret_names(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from secret_names(each)


def scrubbed(text: str, values: Sequence[str]) -> str:
    """`values`: as values_of has them."""
    for value in values:
        text = text.replace(value, GONE)
    for pattern in _PATTERNS:
        text = pattern.sub(GONE, text)
    return text


def redacted(body: Json, values: Sequence[str]) -> dict[str, Any]:
    """An object without what is not to be seen."""
    kept = {key: value for key, value in body.items() if key not in ("data", "binaryData", "stringData")}
    kept = _object(kept, values)
    if body.get("kind") == "ControllerRevision":
        kept["data"] = _object(body.get("data") or {}, values)
    elif body.get("kind") == "ConfigMap":
        data = {**(body.get("data") or {}), **(body.get("binaryData") or {})}
        kept["data"] = {
            scrubbed(str(name), values): _text(str(text), values)
            if name in ROUTES
            else f"<{len(str(text))} characters>"
            for name, text in data.items()
        }
    return kept


def _object(body: Json, values: Sequence[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in body.items():
        name = scrubbed(str(key), values)
        match key:
            case "managedFields":
                continue  # half of each object, and only names
            case "annotations" if isinstance(value, Mapping):
                made[name] = _annotations(value, values)
            case "env" | "httpHeaders":
                made[name] = _variables(value, values)
            case "command" | "args":
                made[name] = [_word(str(each)) for each in value] if isinstance(value, list) else GONE
            case "volumeAttributes" | "options" if isinstance(value, Mapping):
                made[name] = dict.fromkeys(map(str, value), GONE)  # of a volume's driver
            case "url" | "handle" if isinstance(value, str):
                made[name] = scrubbed(_origin(value), values)
            case _ if isinstance(value, str) and _SECRET_KEY.search(str(key)):
                made[name] = GONE
            case _:
                made[name] = _any(value, values)
    return made


def _any(value: Any, values: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return _object(value, values)
    if isinstance(value, list):
        return [_any(each, values) for each in value]
    return _text(value, values) if isinstance(value, str) else value


def _text(text: str, values: Sequence[str]) -> str:
    """A text that is JSON itself is looked through as such: what is an object in it may be a pod's template."""
    if text[:1] in ("{", "["):
        try:
            return json.dumps(_any(json.loads(text), values))
        except (ValueError, RecursionError):
            pass
    return scrubbed(text, values)


def _annotations(value: Json, values: Sequence[str]) -> dict[str, str]:
    return {
        scrubbed(str(name), values): _text(str(text), values) if str(name).startswith(OURS) else GONE
        for name, text in value.items()
        if name != "kubectl.kubernetes.io/last-applied-configuration"
    }


def _variables(value: Any, values: Sequence[str]) -> Any:
    """Names, and where values come from; never a value."""
    if not isinstance(value, list):
        return GONE
    return [
        {key: GONE if key == "value" else _any(inner, values) for key, inner in each.items()}
        for each in value
        if isinstance(each, Mapping)
    ]


def _origin(url: str) -> str:
    """An address without its path, which is what keeps others out of many webhooks."""
    found = re.match(r"(\w+://)(?:[^/@]*@)?([^/?#]*)(.*)", url, re.DOTALL)
    return url if found is None else f"{found[1]}{found[2]}{f'/{GONE}' if found[3].strip('/') else ''}"


def _word(word: str) -> str:
    """Of a command line. Options keep their names."""
    if word in WORDS:
        return word
    option = re.match(r"--?[A-Za-z][\w-]*(?==)", word)
    if option:
        return f"{option[0]}={GONE}"
    # A name alone is an option, and what is no option may be a password; `-pPASSWORD` is one, too.
    return word if re.fullmatch(r"--[a-z][a-z-]{1,30}|-[A-Za-z]", word) else GONE


def _decoded(secret: Json) -> Iterator[str]:
    """Each value, and what it holds where it is JSON or lines such as `password = …`: logs may have these alone."""
    for text in (secret.get("data") or {}).values():
        try:
            value = base64.b64decode(str(text), validate=True).decode(errors="ignore")
        except (binascii.Error, ValueError):
            continue
        yield value
        parts = [re.split(r"[=:]\s*", line, maxsplit=1)[-1].strip(" \"'") for line in value.splitlines()]
        with contextlib.suppress(ValueError, RecursionError):
            parts += _leaves(json.loads(value))
        yield from (each for each in parts if len(each) >= SHORTEST_PART)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _leaves(each)


def _told_secrets(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "env" and isinstance(inner, list):
                for each in inner:
                    if isinstance(each, Mapping) and _NAMED.search(str(each.get("name", ""))):
                        yield str(each.get("value") or "")
            if key == "webhook" and isinstance(inner, Mapping):
                yield str(inner.get("url") or "").partition("://")[2].partition("/")[2]
            yield from _told_secrets(inner)
    elif isinstance(value, list):
        for each in value:
            yield from _told_secrets(each)


def _forms(value: str) -> Iterator[str]:
    """As a log, a JSON text, an address or a Secret would have it; and each long line of several."""
    stripped = value.strip()
    lines = [line.strip() for line in stripped.splitlines()]
    for each in (value, stripped, *(line for line in lines if len(line) >= SHORTEST_LINE and len(lines) > 1)):
        if len(each) < SHORTEST:
            continue
        raw = each.encode(errors="replace")
        yield from (each, json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1], quote(each, safe=""))
        yield from (quote(each), quote_plus(each), repr(each)[1:-1], base64.b64encode(raw).decode(), raw.hex())
        yield from (base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="))


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key in ("name", "secretName"):
            if isinstance(value.get(key), str):
                yield value[key]
    elif isinstance(value, list):
        for each in value:
            yield from _named(each)
