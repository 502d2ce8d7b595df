"""docs/map.md is the tree: every file and name in it is there, and no folder is missing."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MAP = (ROOT / "docs/map.md").read_text()
ANSWERS = re.findall(r"^\| .+ \| `([\w/.]+)`: `(\w+)` \|$", MAP, re.MULTILINE)
TREES = ("operator/modelward", "inference_image")


def test_there_are_answers() -> None:
    assert len(ANSWERS) >= 20


@pytest.mark.parametrize(("file", "name"), ANSWERS)
def test_an_answer_is_where_the_map_says(file: str, name: str) -> None:
    text = (ROOT / file).read_text()
    there = re.search(rf"^\s*(async def|def|class) {name}\b|^{name}\b[^=\n]*=", text, re.MULTILINE)
    assert there, f"no {name} in {file}"


@pytest.mark.parametrize("tree", TREES)
def test_every_folder_of_the_source_is_on_the_map(tree: str) -> None:
    folders = [init.parent.relative_to(ROOT / tree) for init in (ROOT / tree).rglob("*/__init__.py")]
    tops = {folder for folder in folders if len(folder.parts) == 1 or folder.parts[0] == "modelward_inference"}
    for folder in tops - {Path("modelward_inference"), Path("modelward_inference/serve/grpc_api")}:
        assert f"`{folder}/`" in MAP, folder


@pytest.mark.parametrize("tree", TREES)
def test_every_folder_of_the_map_is_there(tree: str) -> None:
    section = MAP[MAP.index(f"`{tree}`\n") :].split("\n## ")[0]
    folders = re.findall(r"^\| `([\w/]+)/` \|", section, re.MULTILINE)
    assert len(folders) >= 10
    for folder in folders:
        assert (ROOT / tree / folder).is_dir(), folder
