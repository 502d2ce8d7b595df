"""Holds CRDs and Python types together."""

import dataclasses
import re
import typing
from collections.abc import Mapping
from typing import Any


def camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found.group(1).upper(), name)


def check(schema: Mapping[str, Any], kind: type, path: str) -> int:
    """Compare one object of the schema with one dataclass; returns how many fields were compared."""
    schema = schema.get("items", schema)
    hints = typing.get_type_hints(kind)
    fields = {camel(each.name): each for each in dataclasses.fields(kind) if not each.metadata.get("unread")}
    assert set(schema["properties"]) == set(fields), path
    compared = len(fields)
    for name, each in fields.items():
        below = schema["properties"][name]
        has_default = each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING
        assert (name in schema.get("required", [])) is not has_default, f"{path}.{name}"
        candidates = [arg for arg in (*typing.get_args(hints[each.name]), hints[each.name]) if isinstance(arg, type)]
        nested = next((arg for arg in candidates if dataclasses.is_dataclass(arg)), None)
        if nested is not None:
            compared += check(below, nested, f"{path}.{name}")
        elif "default" in below:
            assert below["default"] == each.default, f"{path}.{name}"
    return compared


def described(schema: Mapping[str, Any], path: str) -> None:
    """Every field has a description."""
    assert schema.get("description"), f"{path} has no description"
    for name, below in schema.get("properties", {}).items():
        described(below, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        for name, below in schema["items"].get("properties", {}).items():
            described(below, f"{path}[].{name}")


def fits(value: Any, schema: Mapping[str, Any], path: str) -> None:
    """Every field of a status is in the CRD: the API server would drop another one silently."""
    if isinstance(value, dict):
        for name, below in value.items():
            if "additionalProperties" in schema:
                fits(below, schema["additionalProperties"], f"{path}.{name}")
                continue
            assert name in schema["properties"], f"{path}.{name}"
            fits(below, schema["properties"][name], f"{path}.{name}")
    elif isinstance(value, list):
        for below in value:
            fits(below, schema["items"], f"{path}[]")
