"""How a panel looks: kinds of panels, colours, and what every dashboard has.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), which people with any of the common colour-vision
deficiencies can tell apart; what is good, doubtful and bad never differs by red and green alone, and has a word or a
number beside it. Grafana's own palettes are not used: theirs can't be told apart so.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    stat,
    statetimeline,
    statushistory,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_types
from grafana_foundation_sdk.models import dashboard as types
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

BLUE, SKY, GREEN, YELLOW, ORANGE, VERMILLION, PURPLE, GREY = (
    "#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#D55E00", "#CC79A7", "#999999",
)  # fmt: skip
GOOD, DOUBTFUL, BAD, UNKNOWN = BLUE, YELLOW, VERMILLION, GREY

SOURCE: Final = types.DataSourceRef(type_val="prometheus", uid="${datasource}")

ARMS: Final[Mapping[str, str]] = {"^stable": BLUE, "^candidate": ORANGE}
"""Colours by legend; all other arms are variants."""

QUANTILES: Final[Mapping[str, str]] = {"p50": SKY, "p90": BLUE, "p99": VERMILLION}

CODES: Final[Mapping[str, str]] = {
    r"^(1|2|3)\d\d|^OK": BLUE,
    r"^4\d\d|CANCELLED|INVALID|NOT_FOUND|OUT_OF_RANGE": YELLOW,
}
"""Codes of HTTP and names of gRPC's; all others are failures."""

Panel = Builder[types.Panel]
AsksT = TypeVar("AsksT", timeseries.Panel, table.Panel, statetimeline.Panel)


def query(expr: str, legend: str = "", ref: str = "A", *, table: bool = False, instant: bool = False) -> Dataquery:
    """`table`: its last values, one row a series; `instant`: its last values."""
    made = Dataquery().expr(" ".join(expr.split())).ref_id(ref).datasource(SOURCE)
    if table:
        return made.instant().format(PromQueryFormat.TABLE)
    made = made.instant() if instant else made.range()
    return made.legend_format(legend or "__auto")


def fixed(colour: str) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(types.FieldColorModeId.FIXED).fixed_color(colour)


def steps(*reached: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """The first one's value is None: from there down."""
    made = [types.Threshold(value, colour) for value, colour in reached]
    return dashboard.ThresholdsConfig().mode(types.ThresholdsMode.ABSOLUTE).steps(made)


def by_steps() -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(types.FieldColorModeId.THRESHOLDS)


def coloured(colour: str) -> list[types.DynamicConfigValue]:
    return [types.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})]


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Dataquery,
    colours: Mapping[str, str] | None = None,
    other: str = PURPLE,
    stacked: bool = False,
    least: float | None = 0,
    most: float | None = None,
    width: int = 12,
    height: int = 8,
) -> timeseries.Panel:
    """Values over time. `colours`: by legend, regular expressions; `other`: of what none of them matches; `least`,
    `most`: ends of the axis, None: as the values are."""
    made = (
        timeseries.Panel().title(title).description(description).datasource(SOURCE).unit(unit).span(width)
        .height(height).color_scheme(fixed(other)).line_width(2).fill_opacity(25 if stacked else 0)
        .span_nulls(False).show_points(common_types.VisibilityMode.AUTO)
        .legend(common.VizLegendOptions().show_legend(True).display_mode(common_types.LegendDisplayMode.TABLE)
                .placement(common_types.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"]))
        .tooltip(common.VizTooltipOptions().mode(common_types.TooltipDisplayMode.MULTI)
                 .sort(common_types.SortOrder.DESCENDING))
    )  # fmt: skip
    if least is not None:
        made = made.min(least)
    if most is not None:
        made = made.max(most)
    if stacked:
        made = made.stacking(common.StackingConfig().mode(common_types.StackingMode.NORMAL))
    for pattern, colour in (colours or {}).items():
        made = made.override_by_regexp(f"/{pattern}/", coloured(colour))
    return _asking(made, queries)


def number(
    title: str,
    description: str,
    unit: str,
    asked: Dataquery,
    bad_from: float | None = None,
    *,
    doubtful_from: float | None = None,
    width: int = 3,
    height: int = 4,
) -> stat.Panel:
    """One number; grey where nobody has said from when on it is bad. Nothing there: a dash."""
    reached: list[tuple[float | None, str]] = [(None, GOOD if bad_from or doubtful_from else UNKNOWN)]
    reached += [(doubtful_from, DOUBTFUL)] if doubtful_from is not None else []
    reached += [(bad_from, BAD)] if bad_from is not None else []
    return (
        stat.Panel().title(title).description(description).datasource(SOURCE).unit(unit).span(width).height(height)
        .color_scheme(by_steps()).thresholds(steps(*reached)).no_value("-").graph_mode(common_types.BigValueGraphMode.AREA)
        .color_mode(common_types.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .with_target(asked)
    )  # fmt: skip


def bars(title: str, description: str, unit: str, asked: Dataquery, *, width: int = 12, height: int = 9) -> Panel:
    """The largest first, as the query sorts them."""
    return (
        bargauge.Panel().title(title).description(description).datasource(SOURCE).unit(unit).span(width).height(height)
        .min(0).color_scheme(fixed(BLUE)).orientation(common_types.VizOrientation.HORIZONTAL)
        .display_mode(common_types.BarGaugeDisplayMode.BASIC).value_mode(common_types.BarGaugeValueMode.TEXT)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)).with_target(asked)
    )  # fmt: skip


def rows(
    title: str,
    description: str,
    *queries: Dataquery,
    names: Mapping[str, str],
    hidden: Sequence[str] = (),
    sort: str,
    formats: Mapping[str, Sequence[types.DynamicConfigValue]] | None = None,
    width: int = 24,
    height: int = 10,
) -> table.Panel:
    """A row for each set of labels that the queries have in common. `names`: columns, by `Value #A` or label, in their
    order; `hidden`: labels that are not shown; `sort`: the column whose largest is first; `formats`: by column."""
    organised: dict[str, Any] = {
        "excludeByName": dict.fromkeys(("Time", *hidden), True),
        "indexByName": {name: place for place, name in enumerate(names)},
        "renameByName": {name: shown for name, shown in names.items() if name != shown},
    }
    made = (
        table.Panel().title(title).description(description).datasource(SOURCE).span(width).height(height)
        .color_scheme(fixed(BLUE)).no_value("-").filterable(True).show_header(True)
        .with_transformation(types.DataTransformerConfig("merge", options={}))
        .with_transformation(types.DataTransformerConfig("organize", options=organised))
        .sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    )  # fmt: skip
    for name, properties in (formats or {}).items():
        made = made.override_by_name(name, list(properties))
    return _asking(made, queries)


def states(
    title: str,
    description: str,
    *queries: Dataquery,
    mappings: Sequence[types.ValueMapping],
    width: int = 24,
    height: int = 6,
) -> Panel:
    """Which of a few values a series had when."""
    made = (
        statetimeline.Panel().title(title).description(description).datasource(SOURCE).span(width).height(height)
        .color_scheme(fixed(UNKNOWN)).mappings(list(mappings)).show_value(common_types.VisibilityMode.AUTO)
        .merge_values(True).row_height(0.85).fill_opacity(80)
        .legend(common.VizLegendOptions().show_legend(False).display_mode(common_types.LegendDisplayMode.LIST)
                .placement(common_types.LegendPlacement.BOTTOM).calcs([]))
    )  # fmt: skip
    return _asking(made, queries)


def heat(
    title: str,
    description: str,
    unit: str,
    asked: Dataquery,
    reached: Sequence[tuple[float | None, str]],
    *,
    width: int = 24,
    height: int = 12,
) -> Panel:
    """A row a series, a cell a time, and its colour how much it is."""
    return (
        statushistory.Panel().title(title).description(description).datasource(SOURCE).unit(unit).span(width)
        .height(height).color_scheme(by_steps()).thresholds(steps(*reached)).row_height(0.95).col_width(1)
        .show_value(common_types.VisibilityMode.NEVER).fill_opacity(90).max_data_points(120)
        .legend(common.VizLegendOptions().show_legend(True).display_mode(common_types.LegendDisplayMode.LIST)
                .placement(common_types.LegendPlacement.BOTTOM).calcs([]))
        .with_target(asked)
    )  # fmt: skip


def words(of: Mapping[float, tuple[str, str]]) -> list[types.ValueMapping]:
    """Values shown as a word and a colour."""
    options = {
        f"{value:g}": types.ValueMappingResult(text=word, color=colour, index=place)
        for place, (value, (word, colour)) in enumerate(of.items())
    }
    return [types.ValueMap(options=options)]


def unit(name: str, decimals: int | None = None) -> list[types.DynamicConfigValue]:
    """A column's."""
    shown = [types.DynamicConfigValue("unit", name)]
    return shown if decimals is None else [*shown, types.DynamicConfigValue("decimals", decimals)]


def cell(*reached: tuple[float | None, str]) -> list[types.DynamicConfigValue]:
    """A column whose cells have the colour of what their values reach."""
    return [
        types.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
        types.DynamicConfigValue("color", {"mode": "thresholds"}),
        types.DynamicConfigValue(
            "thresholds",
            {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in reached]},
        ),
    ]


def worded(of: Mapping[float, tuple[str, str]]) -> list[types.DynamicConfigValue]:
    """A column whose cells are a word on a colour."""
    return [
        types.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
        types.DynamicConfigValue("mappings", [each.to_json() for each in words(of)]),
    ]


def leads(title: str, url: str) -> list[types.DynamicConfigValue]:
    """A column whose cells are links."""
    return [types.DynamicConfigValue("links", [{"title": title, "url": url, "targetBlank": False}])]


def made(uid: str, title: str, description: str, *, hours: int, every: str = "1m") -> dashboard.Dashboard:
    """A dashboard without panels. `hours`: that it shows at first."""
    others = (
        dashboard.DashboardLink("Modelward").type(types.DashboardLinkType.DASHBOARDS).tags(["modelward"])
        .as_dropdown(True).keep_time(True).include_vars(False)
    )  # fmt: skip
    source = (
        dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        .description("Where the metrics are")
    )  # fmt: skip
    return (
        dashboard.Dashboard(title).uid(uid).description(description).tags(["modelward"]).readonly()
        .time(f"now-{hours}h", "now").refresh(every).timezone(common_types.TimeZoneBrowser)
        .tooltip(types.DashboardCursorSync.CROSSHAIR).link(others).with_variable(source)
    )  # fmt: skip


def choice(name: str, label: str, expr: str, *, several: bool = False) -> dashboard.QueryVariable:
    """A variable whose values Prometheus knows. `several`: also all of them."""
    variable = (
        dashboard.QueryVariable(name).label(label).datasource(SOURCE).query({"query": expr, "refId": name})
        .refresh(types.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(types.VariableSort.ALPHABETICAL_ASC)
        .multi(several).include_all(several)
    )  # fmt: skip
    if not several:
        return variable
    return variable.all_value(".*").current(types.VariableOption(selected=True, text="All", value="$__all"))


def _asking(panel: AsksT, queries: Sequence[Dataquery]) -> AsksT:
    for each in queries:
        panel = panel.with_target(each)
    return panel
