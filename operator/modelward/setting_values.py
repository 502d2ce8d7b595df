"""What one of the operator's settings may be: read, or refused by the variable's name and what to write instead. Pure.

An overlay of the manifests is written by hand. What is wrong in it ends the operator at its start, and not the first
reconcile, pod or request that needs it.
"""

import difflib
import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from modelward.models import consent
from modelward.net.untrusted import bare
from modelward.values.quantities import amount

_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE: Final = re.compile(
    r"(?:(?:[a-zA-Z0-9][a-zA-Z0-9.-]*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?" + rf"{_PART}(?:/{_PART})*"
    r"(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(?:@(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
"""As https://github.com/distribution/reference has it: a registry with a port, a path, a tag, a digest."""

NAMESPACE: Final = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_NAME: Final = re.compile(rf"(?=.{{1,253}}$){NAMESPACE}(\.{NAMESPACE})*")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._*?-]|\[[^]:/]+\])+")
_PLAIN_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_UNPROXIED: Final = re.compile(r"[A-Za-z0-9._*-]+(?::[0-9]{1,5})?|\[?[0-9a-fA-F:.]+\]?(?:/[0-9]{1,3})?")
_NAMESPACE_PATTERN: Final = re.compile(r"(?:[a-z0-9*?-]|\[[^]]+\])+")

PREFIX: Final = "MODELWARD_"
_OF_A_SERVICE: Final = re.compile(rf"{PREFIX}\w*_(?:SERVICE_HOST|SERVICE_PORT\w*|PORT(?:_[0-9]+_\w+)?)")
"""What the kubelet gives every container of a namespace with a Service modelward-operator."""

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LAST_PORT: Final = 65535


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names the variable."""


class Asked(Mapping[str, str]):
    """An environment, and which of its variables are read: those are the settings."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self._environment[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environment)

    def __len__(self) -> int:
        return len(self._environment)

    def unknown(self) -> tuple[str, ...]:
        """In a sentence each, the variables that nobody has read and that look as if somebody meant a setting."""
        strange = [name for name in self._environment if name.startswith(PREFIX) and name not in self.names]
        return tuple(_unknown(name, self.names) for name in sorted(strange) if not _OF_A_SERVICE.fullmatch(name))


def _unknown(name: str, known: Collection[str]) -> str:
    meant = difflib.get_close_matches(name, known, 1, 0.8)
    return f"{name} is no setting of this operator{f'; {meant[0]} is one' if meant else ''} (docs/settings.md)"


def image(environment: Mapping[str, str], name: str, *, optional: bool = False) -> str:
    value = environment.get(name, "").strip()
    if not value and optional:
        return ""
    if not value:
        raise SettingsError(f"{name} is not set; set it to an image reference, as manifests/base/operator.yaml does")
    if not _IMAGE.fullmatch(value):
        # Told by us at once, and not by each pod that nobody can start.
        raise SettingsError(
            f"{name} is {value!r}, which is no image; write name:tag, name@sha256:<64 hex digits> or name:tag@sha256:…"
        )
    return value


def number(environment: Mapping[str, str], name: str, default: int, least: int = 1, most: int | None = None) -> int:
    text = environment.get(name, str(default))
    # Plain digits alone: others are decimal, too, and no number is longer.
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least or (most is not None and int(text) > most):
        upto = "" if most is None else f" up to {most}"
        raise SettingsError(f"{name} is {text!r}; set it to a {'positive ' if least else ''}whole number{upto}")
    return int(text)


def fraction(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "").strip() or f"{default}"
    if not re.fullmatch(r"[0-9]{0,9}(\.[0-9]{1,9})?", text, re.ASCII) or not 0 <= float(text) <= 1:
        raise SettingsError(f"{name} is {text!r}; set it to a number from 0 to 1, such as 0.01")
    return float(text)


def port(environment: Mapping[str, str], name: str, default: int) -> int:
    return number(environment, name, default, most=_LAST_PORT)


def level(environment: Mapping[str, str], name: str) -> str:
    text = environment.get(name, "").strip().upper() or "INFO"
    if text not in LEVELS:
        raise SettingsError(f"{name} is {environment[name]!r}; set it to one of {', '.join(LEVELS)}")
    return text


def log_format(environment: Mapping[str, str], name: str) -> str:
    text = environment.get(name, "").strip().lower() or "text"
    if text not in ("text", "json"):
        raise SettingsError(f"{name} is {text!r}; set it to text or json")
    return text


def formats(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    try:
        return consent.parse(environment[name]) if name in environment else consent.SAFE
    except consent.UnknownFormatError as error:
        raise SettingsError(f"{name}: {error}") from None


def size(environment: Mapping[str, str], name: str, default: str) -> int:
    """Bytes."""
    text = environment.get(name, default)
    try:
        found = int(amount(text))
    except (ValueError, ArithmeticError):
        found = 0
    if found <= 0:
        raise SettingsError(f"{name} is {text!r}; set it to a number of bytes, such as 10Gi")
    return found


def dns_name(environment: Mapping[str, str], name: str, default: str, example: str) -> str:
    """As domains and most objects of Kubernetes are named."""
    text = environment.get(name, "").strip() or default
    if text and not _DNS_NAME.fullmatch(text):
        raise SettingsError(
            f"{name} is {text!r}; set it to a name of small letters, digits, '-' and '.', such as {example}"
        )
    return text


def label(environment: Mapping[str, str], name: str) -> str | None:
    text = environment.get(name, "").strip()
    if text and not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", text):
        raise SettingsError(f"{name} is {text!r}; set it to the name of a label of Prometheus, such as namespace")
    return text or None


def namespaces(environment: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    found = tuple(dict.fromkeys(text.replace(",", " ").split()))
    wrong = [each for each in found if not re.fullmatch(NAMESPACE, each)]
    if wrong or not found:
        # A slip of the pen must not make it an installation for all namespaces.
        raise SettingsError(
            f"{name} is {text!r}: {', '.join(wrong) or 'it'} can't be a namespace's name; set it to names of "
            "namespaces with blanks between them, or leave it empty for all"
        )
    return found


def namespace_patterns(environment: Mapping[str, str], name: str, default: str) -> tuple[str, ...]:
    return _each(environment, name, default, _NAMESPACE_PATTERN, "names of namespaces or patterns such as team-*")


def hosts(environment: Mapping[str, str], name: str, default: str) -> tuple[str, ...]:
    """Names or patterns, with commas or blanks between them."""
    found = words(environment, name, default)
    for each in found:
        if not _HOST.fullmatch(each) and not _is_address(each):
            raise SettingsError(
                f"{name}: {_shown(each)!r} is no host; write names or patterns such as *.example.com with blanks "
                "between them, without https:// and without a port"
            )
    return found


def plain_hosts(environment: Mapping[str, str], name: str) -> str:
    """As it was written: pods read it."""
    _each(environment, name, "", _PLAIN_HOST, "registries as host:port, without http://")
    return environment.get(name, "").strip()


def unproxied(environment: Mapping[str, str], name: str) -> str:
    """As it was written: pods read it."""
    what = "hosts, domains such as .svc or networks such as 10.0.0.0/8"
    _each(environment, name, "", _UNPROXIED, what)
    return environment.get(name, "").strip()


def path(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name, "").strip()
    if text and not Path(text).is_absolute():
        raise SettingsError(f"{name} is {text!r}; set it to the whole path of a file in the operator's container")
    return Path(text) if text else None


def address(
    environment: Mapping[str, str], name: str, example: str, *, path: str = "", schemes: tuple[str, ...] = (),
    login: bool = False, query: bool = False, elsewhere: str = "",
) -> str | None:  # fmt: skip
    """`path`: put behind one that has none; `schemes`: instead of http and https; `login`, `query`: it may have one;
    `elsewhere`: where a login belongs, as the end of a sentence."""
    text = environment.get(name, "").strip()
    if not text:
        return None
    try:
        parts = urlsplit(text)
        whole = parts.scheme in (schemes or ("http", "https")) and parts.hostname and (parts.port or True)
        whole = whole and (login or "@" not in parts.netloc) and (query or not parts.query)
    except ValueError:
        whole = False
    if not whole or not text.isascii() or not text.isprintable() or " " in text or parts.fragment:
        raise SettingsError(f"{name} is {_shown(text)!r}; set it to an address such as {example}{elsewhere}")
    return text if not path or parts.path.strip("/") or parts.query else f"{parts.scheme}://{parts.netloc}{path}"


def line(environment: Mapping[str, str], name: str, default: str) -> str:
    text = environment.get(name, "").strip() or default
    if not text.isprintable() or len(text) > 253:
        raise SettingsError(f"{name} is {text!r}; set it to a name of at most 253 printable characters")
    return text


def tenant(environment: Mapping[str, str], name: str) -> str | None:
    text = environment.get(name, "").strip()
    if text and not re.fullmatch(r"[A-Za-z0-9!._*'()|-]{1,150}", text):
        raise SettingsError(f"{name} is {text!r}; set it to the name of a tenant, or to several with | between them")
    return text or None


def switch(environment: Mapping[str, str], name: str, default: str) -> bool:
    text = environment.get(name, "").strip().lower() or default
    if text not in ("true", "false"):
        raise SettingsError(f"{name} is {text!r}; set it to true or false")
    return text == "true"


def words(environment: Mapping[str, str], name: str, default: str = "") -> tuple[str, ...]:
    """With commas or blanks between them."""
    return tuple(environment.get(name, default).replace(",", " ").split())


def _each(
    environment: Mapping[str, str], name: str, default: str, pattern: re.Pattern[str], what: str
) -> tuple[str, ...]:
    found = words(environment, name, default)
    wrong = [each for each in found if not pattern.fullmatch(each)]
    if wrong:
        raise SettingsError(
            f"{name}: {_shown(wrong[0])!r} is none; set it to {what}, with commas or blanks between them"
        )
    return found


def _shown(text: str) -> str:
    """Without the login of an address, also of one without a scheme."""
    return bare(text) if "://" in text else text.rpartition("@")[2]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
