"""The evaluator with a log and outcomes in a real S3 store, versitygw; and what is said where they can't be listed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import certificates
from modelward.quality.measured import read_message
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.evaluate import document, evaluate
from modelward_evaluate.job import VARIABLE, main
from modelward_evaluate.sources import listing
from modelward_evaluate.spec import Files, load
from modelward_monitor.predictionlog.names import File
from s3store import S3Store
from unit.evaluate.lakes import EPOCH, NOW, Lake, counts, metric, outcome, prediction
from unit.evaluate.test_batches import NIGHT, Scored, became, scored

pytestmark = pytest.mark.api


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    made = S3Store(tmp_path_factory.mktemp("s3"))
    yield made
    made.stop()


@pytest.fixture
def store(server: S3Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {**server.environment, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    return server.client


def said(predictions: str | dict[str, Any], outcomes: str) -> dict[str, Any]:
    where = {"path": predictions} if isinstance(predictions, str) else predictions
    asked = {
        "predictions": where, "outcomes": {"path": outcomes}, "now": NOW.isoformat(),
        "task": {"task": "classes", "label": "output.label"}, "threads": 2,
    }  # fmt: skip
    spec = load(json.dumps(asked))
    made: dict[str, Any] = document(evaluate(spec), spec)
    return made


def test_a_log_and_outcomes_in_s3(store: Any, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.predict([prediction(each) for each in range(3)], file=File("pod", EPOCH, 1, 1))
    lake.predict([prediction(each) for each in range(3, 6)], file=File("pod", EPOCH, 2, 2))
    lake.predict([prediction(each) for each in range(6)], file=File("pod", EPOCH, 1, 2))
    lake.predict([prediction(0)], "r2")
    lake.tell([outcome(each, int(each < 4)) for each in range(6)])
    store.create_bucket(Bucket="lake")
    for folder, prefix in ((lake.log, "predictions/"), (lake.outcomes, "told/a#b/")):
        for path in folder.rglob("*.parquet"):
            store.upload_file(str(path), "lake", f"{prefix}{path.relative_to(folder)}")
    store.put_object(Bucket="lake", Key="told/a#b/README.md", Body=b"no outcomes")
    store.put_object(Bucket="lake", Key="told/other.csv", Body=b"request_id,row,value\nq4,0,1\n")
    found = said("s3://lake/predictions/v1/namespace=ml/model=fraud", "s3://lake/told/a#b/")
    assert counts(found, "predictions", "withOutcome", "outcomes", "unmatched") == [7, 7, 6, 0]
    assert metric(found, "accuracy", revision="r1") == pytest.approx(4 / 6)
    assert metric(found, "accuracy", revision="r2") == 1.0


def test_runs_of_a_batch_in_s3(store: Any, tmp_path: Path) -> None:
    lake = Scored(tmp_path)
    lake.ran(NIGHT, [scored(each) for each in range(3)], [scored(each, 0) for each in range(3, 6)])
    (lake.ran("churn-1", [scored(each) for each in range(6, 9)]) / "_manifest.json").unlink()
    lake.ran("other-1", [scored(each) for each in range(6, 9)])
    lake.tell([became(each) for each in range(6)])
    store.create_bucket(Bucket="batches")
    for path in lake.output.rglob("*.*"):
        store.upload_file(str(path), "batches", f"churn/{path.relative_to(lake.output)}")
    batch = {"path": "s3://batches/churn", "batch": {"key": "id", "of": "churn"}}
    found = said(batch, str(lake.outcomes))
    assert counts(found, "predictions", "withOutcome") == [6, 6]
    assert metric(found, "accuracy", revision="r1", arm="batch") == 0.5
    with pytest.raises(EvaluationError, match=r"s3://batches/none has no rows of a run that is complete"):
        said({**batch, "path": "s3://batches/none"}, str(lake.outcomes))


def test_a_bucket_that_is_not_there_is_named(store: Any, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"s3://nowhere/log can't be listed: .*there is no bucket 'nowhere'"):
        said("s3://nowhere/log", str(tmp_path))


def test_wrong_keys_are_told(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(EvaluationError, match=r"s3://lake/log can't be listed: .*(?i:denied|signature|forbidden)"):
        said("s3://lake/log", str(tmp_path))


def test_a_prefix_without_files_is_told(store: Any, tmp_path: Path) -> None:
    store.create_bucket(Bucket="empty")
    for prefix in ("", "/", "/log"):
        with pytest.raises(EvaluationError, match=r"predictions: files with .*, but there is none"):
            said(f"s3://empty{prefix}", str(tmp_path))


def test_a_job_reads_each_store_with_the_keys_of_its_own_folder(
    server: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "else")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    (tmp_path / "lake").mkdir()
    lake = Lake(tmp_path / "lake")
    lake.predict([prediction(each) for each in range(4)])
    lake.tell([outcome(each, int(each < 3)) for each in range(4)])
    server.client.create_bucket(Bucket="keys")
    for folder, prefix in ((lake.log, "log/"), (lake.outcomes, "told/")):
        for path in folder.rglob("*.parquet"):
            server.client.upload_file(str(path), "keys", f"{prefix}{path.relative_to(folder)}")
    for name, change in (("log", {}), ("told", {}), ("wrong", {"AWS_SECRET_ACCESS_KEY": "wrong"})):
        (tmp_path / name).mkdir()
        for key, value in {**server.environment, **change}.items():
            (tmp_path / name / key).write_text(f"{value}\n")

    def ended(outcomes: str) -> tuple[int, str]:
        model = "s3://keys/log/v1/namespace=ml/model=fraud/revision=r1"
        asked = {
            "evaluation": {
                "predictions": {"path": model, "credentials": str(tmp_path / "log")},
                "outcomes": {"path": "s3://keys/told", "credentials": str(tmp_path / outcomes)},
                "task": {"task": "classes", "label": "output.label"}, "now": NOW.isoformat(),
            },
            "revision": "r1",
        }  # fmt: skip
        code = main({VARIABLE: json.dumps(asked)}, tmp_path / "message")
        return code, (tmp_path / "message").read_text()

    code, message = ended("told")
    assert code == 0, message
    assert read_message(message).values["accuracy"].value == 0.75
    code, message = ended("wrong")
    assert code == 1
    assert message.startswith("s3://keys/told can't be listed: ")


def test_a_store_behind_an_authority_of_its_own_is_read_where_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = S3Store(tmp_path / "s3", certificate=certificates.made())
    try:
        for name, value in {**made.environment, "AWS_EC2_METADATA_DISABLED": "true"}.items():
            monkeypatch.setenv(name, value)
        made.client.create_bucket(Bucket="lake")
        made.client.put_object(Bucket="lake", Key="told/a.csv", Body=b"request_id,row,value\nq1,0,1\n")
        files = Files(path="s3://lake/told")
        with pytest.raises(EvaluationError, match=r"(?i)s3://lake/told can't be listed: .*(ssl|certificate)"):
            listing(files)
        monkeypatch.setenv("CA_BUNDLE", str(made.authority))
        assert listing(files).paths == ("lake/told/a.csv",)
    finally:
        made.stop()
