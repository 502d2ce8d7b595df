"""A matrix against a reference of columns, and the other way round: by name, by place, or refused; never missing."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from modelward_drift.building.builder import profile_of
from modelward_drift.counting.reading import Reading
from modelward_drift.profiles.reference import FILE, Feature, Reference
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.artifact.features import Layout
from modelward_inference.capture.wire import Batch
from modelward_inference.protocol.messages import RequestError
from modelward_monitor.counting.arrivals import Arrival, tabulate
from modelward_monitor.counting.placing import fitted

from .worlds import MonitorProcess, send, write_bundle

NAMES = ("age", "income", "tenure")
ROWS = [[31.0, 1.0, 5.0], [44.0, 2.0, 6.0]]
MATRIX: Any = {"name": "input-0", "shape": [2, 3], "datatype": "FP64", "data": ROWS}


def columns(*, matrix: bool = False) -> Reference:
    """One tensor a column, as of a table without a model; or the columns of one tensor."""
    random = np.random.default_rng(0)
    profiles = [profile_of(name, "numeric", random.normal(size=200)) for name in NAMES]
    score = profile_of("output:score", "numeric", random.random(200))
    inputs = [
        Feature("input", "x" if matrix else each.name, place if matrix else None, each)
        for place, each in enumerate(profiles)
    ]
    return Reference((*inputs, Feature("output", "score", None, score)))


def bundle(folder: Path, of: Reference) -> None:
    write_bundle(folder, None, Signature((Tensor("x", "FP64", (-1, 3)),), (Tensor("score", "FP64", (-1,)),)))
    (folder / FILE).write_bytes(orjson.dumps(of.to_dict()))


TAKEN = [
    {"instances": ROWS},
    {"inputs": [MATRIX]},
    {"instances": [dict(zip(NAMES, row, strict=True)) for row in ROWS]},
    {"inputs": [{"name": name, "shape": [2, 1], "datatype": "FP64", "data": [row[place] for row in ROWS]}
                for place, name in enumerate(NAMES)]},
    {"instances": [{**dict(zip(NAMES, row, strict=True)), "more": 1} for row in ROWS]},
]  # fmt: skip
REFUSED = [
    ({"instances": [row[:2] for row in ROWS]}, 2),
    ({"instances": [[*row, 1.0] for row in ROWS]}, 2),
    ({"inputs": [{**MATRIX, "shape": [2, 4], "data": [[*row, 1.0] for row in ROWS]}]}, 2),
    ({"instances": [dict(zip(NAMES, ROWS[0], strict=True)), ROWS[1]]}, 1),
    ({"instances": [ROWS[0], dict(zip(NAMES, ROWS[1], strict=True))]}, 1),
    ({"instances": [{"AGE": 1.0}, {"AGE": 2.0}]}, 1),
    ({"inputs": [{"name": "a", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]},
                 {"name": "b", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]}]}, 2),
    ({"inputs": [{**MATRIX, "name": "age"}]}, 1),
]  # fmt: skip


@pytest.mark.parametrize("matrix", [False, True])
def test_the_process_takes_what_it_can_tell_and_refuses_the_rest_in_words(tmp_path: Path, matrix: bool) -> None:
    of = columns(matrix=matrix)
    bundle(tmp_path, of)
    refused = [each for each in REFUSED if not (matrix and each is REFUSED[-1])]
    if matrix:  # a wider matrix may have columns that the reference leaves out
        refused = [each for each in refused if each not in (REFUSED[1], REFUSED[2])]
    with MonitorProcess(tmp_path, MONITOR_EVENTS="true") as monitor:

        def post(kind: str, document: object) -> tuple[int, Any]:
            head = {"ce-type": f"org.kubeflow.serving.inference.{kind}", "ce-id": "1", "ce-specversion": "1.0"}
            return monitor.request("POST", "/", body=orjson.dumps(document), headers=head)

        for document in TAKEN:
            assert post("request", document) == (200, {"rows": 2}), document
        for document, _ in refused:
            status, answer = post("request", document)
            assert status == 400, document
            assert "send" in answer["error"].lower(), answer
        assert post("response", {"predictions": [0.5, 0.25]}) == (200, {"rows": 2})
        found = Reading.from_dict(monitor.get("/v1/counts")[1], of)
    assert [int(each.cells[-1]) for each in found.counts] == [0, 0, 0, 0]
    assert [each.rows for each in found.counts] == [2 * len(TAKEN)] * 3 + [2]
    assert found.counts[0].cells[:-3].sum() == 2 * len(TAKEN)
    assert found.intake.counted == 2 * len(TAKEN)
    assert found.intake.refused >= len(refused)


def test_a_servers_matrix_is_taken_by_place_or_refused(tmp_path: Path) -> None:
    """The reference was made of a table without the model, whose server hands over one tensor."""
    of = columns()
    bundle(tmp_path, of)
    fits = Batch("run", 1, 2, {"x": np.array(ROWS)}, {"score": np.array([0.5, 0.25])})
    wide = Batch("run", 2, 3, {"x": np.zeros((3, 4))}, {"score": np.zeros(3)})
    with MonitorProcess(tmp_path, MONITOR_EVENTS="true") as monitor:
        send(monitor.socket, fits, wide)
        found = Reading.from_dict(monitor.get("/v1/counts")[1], of)
        assert "the reference knows none of the inputs 'x' (4 a row)" in monitor.log
    assert [int(each.cells[-1]) for each in found.counts] == [0, 0, 0, 0]
    assert (found.intake.counted, found.intake.refused) == (2, 3)


def test_places_are_the_features_own() -> None:
    layout = Layout.of_reference(columns())
    arrival = Arrival(Batch("", 0, 2, {"input-0": np.array(ROWS)}, {}), sides=("input",))
    table = tabulate(layout, fitted(layout, arrival))
    assert {name: column.tolist() for name, column in table.columns.items()} == {
        "age": [31.0, 44.0], "income": [1.0, 2.0], "tenure": [5.0, 6.0],
    }  # fmt: skip


def test_columns_by_name_fill_a_matrix_and_what_is_absent_is_null() -> None:
    layout = Layout.of_reference(columns(matrix=True))
    arrival = Arrival(Batch("", 0, 1, {"tenure": np.array([5.0]), "age": np.array([31.0])}, {}), sides=("input",))
    assert fitted(layout, arrival).batch.inputs["x"].tolist() == [[31.0, None, 5.0]]


def test_a_reference_with_a_gap_takes_no_places() -> None:
    """A column of the second tensor was ignored: nobody knows where it stands in a matrix of all."""
    one, two, three, score = columns().features
    gap = Reference((one, Feature("input", "x", 0, two.profile), Feature("input", "x", 2, three.profile), score))
    layout = Layout.of_reference(gap)
    with pytest.raises(RequestError, match="knows none of the inputs 'input-0'"):
        fitted(layout, Arrival(Batch("", 0, 2, {"input-0": np.array(ROWS)}, {}), sides=("input",)))


def test_outputs_that_a_server_was_not_asked_for_are_no_fault() -> None:
    layout = Layout.of_reference(columns())
    batch = Batch("run", 1, 1, {"age": np.zeros(1)}, {"another": np.zeros(1)})
    assert fitted(layout, Arrival(batch)).batch is batch


def test_a_reference_is_learned_from_tensors_of_another_name(tmp_path: Path) -> None:
    """Whatever the other server calls the model's one tensor, in the first event and in later ones."""
    write_bundle(tmp_path, None, Signature((Tensor("x", "FP64", (-1, 3)),), (Tensor("score", "FP64", (-1,)),)))
    head = {"ce-type": "org.kubeflow.serving.inference.request", "ce-id": "1", "ce-specversion": "1.0"}
    with MonitorProcess(tmp_path, LEARN_ROWS="100", MONITOR_EVENTS="true") as monitor:
        for _ in range(60):
            assert monitor.request("POST", "/", body=orjson.dumps({"inputs": [MATRIX]}), headers=head)[0] == 200
        narrow = {**MATRIX, "shape": [2, 2], "data": [row[:2] for row in ROWS]}
        assert monitor.request("POST", "/", body=orjson.dumps({"inputs": [narrow]}), headers=head)[0] == 400
        of = Reference.from_dict(monitor.get("/v1/reference")[1])
        found = Reading.from_dict(monitor.get("/v1/counts")[1], of)
    assert [each.name for each in of.features] == ["x[0]", "x[1]", "x[2]"]
    assert [int(each.cells[-1]) for each in found.counts] == [0, 0, 0]
    assert (found.intake.counted, found.intake.refused) == (120, 2)
