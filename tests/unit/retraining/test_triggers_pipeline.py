"""What a pipeline is told as a text."""

import json

import pytest

from modelward.retraining.triggers.pipeline import in_text


@pytest.mark.parametrize("name", ["{{workflow.name}}", "{{=sprig.env(1)}}", "{{{a}}}", "{ {", "{", "\\{{", "\\\\{{{{"])
def test_no_name_of_a_feature_is_an_expression(name: str) -> None:
    """Whoever made the model named its features."""
    told = {"run": "r", "evidence": {"drifted": [name], "features": [{"name": name, "score": 1.0}, {}], "more": {}}}
    text = in_text(told)
    assert "{{" not in text
    assert json.loads(text) == told
