"""A tenant's PromQL query, narrowed to the series of his namespace. Pure.

Every selector gets one more matcher, as prom-label-proxy does it; matchers of a selector hold together, so whatever
stands there already can only narrow it further. What is not understood for sure is refused, not passed on. The grammar
is that of https://prometheus.io/docs/prometheus/latest/querying/basics/.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from modelward.rollouts.gates.query import QueryError

_TOKEN: Final = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
    |(?P<number>\.?[0-9][0-9a-zA-Z_.]*)
    |(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    |(?P<compare>==|!=|<=|>=|=~|!~)
    |(?P<sign>[-+*/%^<>=@(){}\[\],:])""",
    re.VERBOSE | re.ASCII,
)

_WITH_LABELS: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
"""Words that a list of labels in parentheses follows."""

_OPERATORS: Final = frozenset({"and", "or", "unless", "atan2", "offset", "bool"})
_COMPARISONS: Final = frozenset({"==", "!=", "<", ">", "<=", ">="})
_NUMBERS: Final = frozenset({"inf", "nan"})
_MATCHES: Final = frozenset({"=", "!=", "=~", "!~"})


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        return self.text.lower()


def scoped(query: str, label: str, namespace: str) -> str:
    """The query, of series whose `label` is `namespace` (a Kubernetes name) alone.

    Raises QueryError where the query is none, or has something that can't be narrowed.
    """
    tokens = list(_tokens(query))
    matcher = f'{label}="{namespace}"'
    insertions = list(_insertions(tokens, matcher))
    parts, begin = [], 0
    for at, text in insertions:
        parts += [query[begin:at], text]
        begin = at
    return "".join((*parts, query[begin:]))


def _tokens(query: str) -> Iterator[_Token]:
    at = 0
    while at < len(query):
        found = _TOKEN.match(query, at)
        if found is None:
            raise _not_understood(query[at : at + 1])
        if found.lastgroup != "blank":
            yield _Token(str(found.lastgroup), found.group(), at)
        at = found.end()


def _insertions(tokens: list[_Token], matcher: str) -> Iterator[tuple[int, str]]:
    """Where in the query something is put in, and what, from the first to the last."""
    number, operand = 0, True
    while number < len(tokens):
        token, following = tokens[number], _text(tokens, number + 1)
        if token.text == "{":
            end = _end_of_selector(tokens, number)
            last = tokens[end - 1].text
            yield tokens[end].at, matcher if last in "{," else f",{matcher}"
            number, operand = end, False
        elif token.text == "[":
            number = _end_of(tokens, number, "]")
        elif token.kind == "name" and token.word in _WITH_LABELS and following == "(":
            number = _end_of(tokens, number + 1, ")")
        elif token.kind == "name" and token.word in _WITH_LABELS:
            # Without labels, after `on (…)`; a metric of such a name has to be written in braces.
            if not token.word.startswith("group_"):
                raise _not_understood(token.text)
        elif token.kind == "name" and token.word in _OPERATORS:
            # `bool` follows a comparison; where another one stands for a value, it would be a metric of that name.
            compared = number > 0 and tokens[number - 1].text in _COMPARISONS
            if not compared if token.word == "bool" else operand:
                raise _not_understood(token.text)
            operand = True
        elif token.kind == "name":
            called = following == "(" or following.lower() in ("by", "without")
            if not called and token.word not in _NUMBERS and following != "{":
                yield token.at + len(token.text), f"{{{matcher}}}"
            operand = called and following != "("
        elif token.text in ("=", "=~", "!~"):
            raise _not_understood(token.text)
        else:
            operand = token.kind not in ("string", "number") and token.text not in (")", "}")
        number += 1


def _end_of_selector(tokens: list[_Token], begin: int) -> int:
    """Index of its closing brace. Only `label op "value"`, or a quoted name, and commas between: another grammar's
    alternatives would stand beside our matcher."""
    number = begin + 1
    while _text(tokens, number) != "}":
        item = tokens[number : number + 3]
        if not item or item[0].kind not in ("name", "string"):
            raise _not_understood(_text(tokens, number))
        if len(item) == 3 and item[1].text in _MATCHES and item[2].kind == "string":
            number += 3
        elif item[0].kind == "string":
            number += 1
        else:
            raise _not_understood(" ".join(each.text for each in item))
        if _text(tokens, number) == ",":
            number += 1
        elif _text(tokens, number) != "}":
            raise _not_understood(_text(tokens, number))
    return number


def _end_of(tokens: list[_Token], begin: int, closing: str) -> int:
    for number in range(begin + 1, len(tokens)):
        if tokens[number].text == closing:
            return number
        if tokens[number].text in "{[(":
            break
    raise _not_understood(tokens[begin].text)


def _text(tokens: list[_Token], number: int) -> str:
    return tokens[number].text if number < len(tokens) else ""


def _not_understood(text: str) -> QueryError:
    where = f"at {text!r}" if text else "at its end"
    return QueryError(
        f"The query is not understood {where}, and so can't be narrowed to the series of this namespace. Write it as "
        "Prometheus' documentation does, metrics with unusual names in braces"
    )
