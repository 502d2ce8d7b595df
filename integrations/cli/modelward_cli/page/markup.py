"""HTML as values. Whatever is no Html is text, and text is escaped: names and messages are others' to write. Pure.

Attributes are escaped in the same way; their names, and the elements', are this package's own and never others'.
No element is made with an address, a style or a script that came from outside.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

from modelward_cli.layout import plain

VOID: Final = frozenset(("br", "input", "link", "meta", "rect", "line", "circle", "polyline"))
"""Elements without content: they end themselves, as those of SVG have to."""


class Html(str):
    """Escaped already."""

    __slots__ = ()


Child = Html | str | int | None | Iterable["Child"]


def flat(child: Child) -> Html:
    """Children as HTML, one after the other; nothing of None. Control characters, and those that turn the direction
    of writing around, are blanks."""
    if child is None:
        return Html("")
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int):
        return Html(escape(plain(str(child))))
    return Html("".join(map(flat, child)))


def element(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Html:
    """`attributes`: None and False are left out, True has no value; `class_` is class, `_` in a name is `-`."""
    told = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(plain(str(value)))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{told}/>") if name in VOID else Html(f"<{name}{told}>{flat(children)}</{name}>")


def table(label: str, head: Iterable[Child], rows: Iterable[Iterable[Child]]) -> Html:
    """With its own scroll bar, which a keyboard reaches; the first cell of a row names it. Columns in which no row has
    anything are left out."""
    lines = [[flat(cell) for cell in row] for row in (head, *rows)]
    kept = [place for place, _ in enumerate(lines[0]) if place == 0 or any(line[place] for line in lines[1:])]
    first, *rest = ([line[place] for place in kept] for line in lines)
    body = [
        element("tr", element("th", name, scope="row"), [element("td", each) for each in cells])
        for name, *cells in rest
    ]  # fmt: skip
    inner = element(
        "table",
        element("thead", element("tr", [element("th", each, scope="col") for each in first])),
        element("tbody", body),
    )
    return element("div", inner, class_="scroll", tabindex=0, role="region", aria_label=label)
