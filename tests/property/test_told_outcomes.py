"""Whatever a client tells as an outcome is refused in words, or is a row that the evaluator can read."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelward_inference.protocol.messages import RequestError
from modelward_inference.protocol.outcomes import FIELDS, read
from modelward_monitor.predictionlog import outcometable
from modelward_monitor.predictionlog.outcomes import record
from modelward_monitor.predictionlog.settings import Columns

NOW = 1_772_323_200.0
"""2026-03-01."""

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300) | st.datetimes().map(str)
    | st.sampled_from([10**400, -(10**30), 2**63, 2**64 - 1, 1e-20, 1e20, "2026-02-01T00:00:00Z", "order 1", "\0"])
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
ENTRIES = st.dictionaries(st.sampled_from(FIELDS), LEAVES)
BODIES = ANYTHING | ENTRIES | st.builds(lambda entries: {"outcomes": entries}, st.lists(ENTRIES | ANYTHING, max_size=5))


@given(BODIES.map(lambda document: json.dumps(document).encode()) | st.binary(max_size=200))
def test_it_is_refused_in_words_or_a_row(body: bytes) -> None:
    try:
        entries = read(body, NOW)
    except RequestError as error:
        refused = (bool(str(error)), error.status)
    else:
        refused = None
    if refused is not None:
        assert refused in ((True, 400), (True, 413))
        return
    part = outcometable.part(record("name", entries, NOW), Columns())
    rows: list[dict[str, Any]] = part.table.to_pylist()
    assert [row["value"] for row in rows] == [each.value for each in entries]
    for row, each in zip(rows, entries, strict=True):
        assert row["request_id"] or row["key"]
        assert row["value"].strip()
        assert (row["request_id"], row["key"], row["row"], row["weight"]) == (
            each.request_id, each.key, each.row, each.weight,
        )  # fmt: skip
        assert row["arrived"].timestamp() == NOW
        assert row["time"] is None or row["time"].timestamp() <= NOW + 300
