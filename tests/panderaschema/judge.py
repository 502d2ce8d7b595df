"""Data judged by a schema file, as a team's own pipeline would; run in pandera's own environment.

Arguments: the schema, and Parquet files. Prints JSON: of each file, in their order, the broken rules as
[column, check].
"""

import json
import sys

import pandas
import pandera.pandas as pandera


def broken(schema: pandera.DataFrameSchema, file: str) -> list[list[str]]:
    try:
        schema.validate(pandas.read_parquet(file), lazy=True)
    except pandera.errors.SchemaErrors as error:
        found = error.failure_cases
        # Of a column that is not there the name is what fails.
        columns = found["column"].where(found["check"] != "column_in_dataframe", found["failure_case"])
        return sorted([list(map(str, each)) for each in set(zip(columns, found["check"], strict=True))])
    return []


if __name__ == "__main__":
    made = pandera.DataFrameSchema.from_yaml(sys.argv[1])
    print(json.dumps([broken(made, each) for each in sys.argv[2:]]))
