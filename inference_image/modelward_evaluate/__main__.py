"""`python -m modelward_evaluate SPEC.json`: evaluates, and writes the result as JSON to stdout or `--out FILE`."""

import argparse
import json
import sys
from pathlib import Path

from modelward_evaluate.engines import spark
from modelward_evaluate.errors import EvaluationError
from modelward_evaluate.evaluate import document, evaluate
from modelward_evaluate.inputs import in_process
from modelward_evaluate.spec import load


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="modelward_evaluate", description=__doc__)
    parser.add_argument("spec", type=Path, help="what to evaluate, as docs/quality.md describes it; - for stdin")
    parser.add_argument("--out", type=Path, help="a file, which appears whole or not at all")
    parser.add_argument("--spark", action="store_true", help="by Spark: spark-submit's, or that of SPARK_REMOTE")
    given = parser.parse_args(arguments)
    try:
        spec = load(sys.stdin.read() if str(given.spec) == "-" else given.spec.read_bytes())
        text = json.dumps(document(evaluate(spec, spark() if given.spark else in_process), spec), allow_nan=False)
        _write(text, given.out)
    except (EvaluationError, OSError) as error:
        print(f"modelward_evaluate: {error}", file=sys.stderr)
        return 1
    return 0


def _write(text: str, out: Path | None) -> None:
    if out is None:
        print(text)
        return
    part = out.with_name(f"{out.name}.part")
    part.write_text(text)
    part.replace(out)


if __name__ == "__main__":
    sys.exit(main())
