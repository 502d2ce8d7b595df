"""`make check-jenkins`: the Jenkinsfiles of examples and docs, and the shared library's step, are Groovy; two minutes.

It reads Groovy alone: a word that no Declarative pipeline has (`agnt any`) passes. That takes a Jenkins.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from localcluster import settings
from localcluster.commands import locked, replacing, run
from localcluster.digest import digest_of
from localcluster.progress import SetupError, step
from unit.pipelines.pages import ROOT, blocks

HERE = Path(__file__).parent
PAGES = ("docs/integrations/jenkins.md", "docs/integrations/jenkins-deploy.md")
FILES = ("examples/pipelines/jenkins/Jenkinsfile", "integrations/jenkins/vars/modelwardDeploy.groovy")
BROKEN = "pipeline {\n    agent any\n"
"""A brace is missing: were this taken, nothing that is taken would mean anything."""

PARSING = "NglParseError"
"""The one rule that counts here: the others are of style, and take `@Library("…") _` for an unused variable."""

_LINT = "node_modules/npm-groovy-lint/lib/index.js"


def installed() -> Path:
    """The program, as package-lock.json pins it. Raises SetupError where Node or Java is missing."""
    for program, name in (("node", "Node 20"), ("npm", "npm"), ("java", "Java 17")):
        if shutil.which(program) is None:
            raise SetupError(f"{name} is missing, which npm-groovy-lint runs on: install it, or leave this check out")
    pinned = [HERE / "package.json", HERE / "package-lock.json"]
    folder = settings.cache_dir() / f"groovy-lint-{digest_of(pinned)}"
    with locked("groovy-lint"):
        if not folder.is_dir():
            with step("fetching npm-groovy-lint, once"), replacing(folder) as temporary:
                temporary.mkdir()
                for each in pinned:
                    shutil.copy(each, temporary)
                run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=temporary)
    return folder / _LINT


def collected(folder: Path) -> list[Path]:
    """Copies of all that is to be read, each named by where it is from."""
    found = {name: (ROOT / name).read_text() for name in FILES}
    for page in PAGES:
        found |= {f"{page}-{number}": text for number, text in enumerate(blocks(page, "groovy"), 1)}
    paths = []
    for name, text in found.items():
        paths.append(folder / f"{name.replace('/', '-').removesuffix('.groovy')}.groovy")
        paths[-1].write_text(text)
    return paths


def errors(program: Path, paths: list[Path]) -> list[str]:
    """What is no Groovy, each with its file and line. Raises SetupError where the program itself fails."""
    command = ["node", str(program), "--noserver", "--failon", "none", "--output", "json", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    try:
        told = json.loads(done.stdout[done.stdout.index("{") :])
        read = told["summary"]["totalFilesLinted"]
    except (ValueError, KeyError):
        raise SetupError(f"npm-groovy-lint failed:\n{(done.stdout + done.stderr)[-2000:]}") from None
    if read != len(paths):
        raise SetupError(f"npm-groovy-lint read {read} files, and was given {len(paths)}")
    return [
        f"{Path(name).name}, line {each['line']}: {each['msg']}"
        for name, file in told["files"].items()
        for each in file["errors"]
        if each["rule"] == PARSING
    ]


def main() -> int:
    program = installed()
    with tempfile.TemporaryDirectory(prefix="modelward-jenkins-") as folder:
        broken = Path(folder) / "broken.groovy"
        broken.write_text(BROKEN)
        paths = collected(Path(folder))
        with step(f"reading {len(paths)} files of Groovy"):
            found = errors(program, [*paths, broken])
    ours = [each for each in found if not each.startswith(f"{broken.name}, ")]
    if len(ours) == len(found):
        print("a file whose brace is missing was taken: npm-groovy-lint reads nothing here")
        return 1
    print("\n".join(ours) or "all of it is Groovy")
    return 1 if ours else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetupError as error:
        sys.exit(f"make check-jenkins: {error}")
