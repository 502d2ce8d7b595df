"""Tables that read well as text, too."""

from collections.abc import Sequence


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> str:
    """A Markdown table. `names`: how many columns are names, which stand to the left; figures stand to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column < names else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        "-" * (width + 2) if column < names else "-" * (width + 1) + ":" for column, width in enumerate(widths)
    )
    return "\n".join((line(header), f"|{rule}|", *map(line, rows)))
