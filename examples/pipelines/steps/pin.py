"""Step 5: the version, and its digest, in the YAML that Argo CD or Flux applies. Comments and order stay as they are.

Changes spec.model.uri and spec.model.digest of one ModelDeployment in the file, and nothing else: what the file means
before and after is compared, and a file that can't be changed so is left alone, with the reason.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import yaml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True, help="with the ModelDeployment, among others or alone")
    parser.add_argument("--model", required=True, help="its metadata.name")
    parser.add_argument(
        "--registered", type=Path, default=Path("build/registered.json"), help="as register.py wrote it"
    )
    options = parser.parse_args()
    told = json.loads(options.registered.read_text())
    before = options.file.read_text()
    after = pinned(before, options.model, told["uri"], told["digest"])
    options.file.write_text(after)
    print(f"{options.file}: {options.model} {'is' if before != after else 'was already'} pinned to {told['uri']}")


def pinned(text: str, model: str, uri: str, digest: str) -> str:
    """Raises SystemExit."""
    parts = re.split(r"(?m)^(---.*\n)", text)
    mine = [index for index, part in enumerate(parts) if _is(part, model)]
    if len(mine) != 1:
        raise SystemExit(f"the file has {len(mine)} ModelDeployments named {model}; it has to have one")
    part = parts[mine[0]]
    wanted = yaml.safe_load(part)
    wanted["spec"]["model"] |= {"uri": uri, "digest": digest}
    changed = _with(_with(part, "uri", uri), "digest", digest)
    if yaml.safe_load(changed) != wanted:
        raise SystemExit("this step can't change spec.model as it is written; write it as a block, a line a field")
    parts[mine[0]] = changed
    return "".join(parts)


def deployment(text: str, model: str) -> Any:
    """The ModelDeployment of that name. Raises SystemExit."""
    found = [part for part in re.split(r"(?m)^(---.*\n)", text) if _is(part, model)]
    if len(found) != 1:
        raise SystemExit(f"the file has {len(found)} ModelDeployments named {model}; it has to have one")
    return yaml.safe_load(found[0])


def _is(part: str, model: str) -> bool:
    found: Any = None if part.startswith("---") else yaml.safe_load(part)
    return isinstance(found, dict) and found.get("kind") == "ModelDeployment" and found["metadata"]["name"] == model


def _with(part: str, field: str, value: str) -> str:
    """The field of spec.model set: in its line, or in a new one below uri."""
    block = re.search(
        r"(?m)^spec:.*\n(?:(?:[ #].*)?\n)*?(?P<indent> +)model:[ ]*(?:#.*)?\n(?P<fields>(?:(?P=indent) +.*\n|[ ]*\n)+)",
        part,
    )
    if block is None:
        raise SystemExit("spec.model is not written as a block, a line a field")
    fields = block["fields"]
    quoted = json.dumps(value)
    line = re.compile(rf"(?m)^( +){field}:[ ]*(?:\"[^\"]*\"|'[^']*'|[^ #\n]+)")
    if line.search(fields):
        changed = line.sub(lambda found: f"{found[1]}{field}: {quoted}", fields, count=1)
    else:
        changed = re.sub(
            r"(?m)^( +)uri:.*\n", lambda found: f"{found[0]}{found[1]}{field}: {quoted}\n", fields, count=1
        )
    return part[: block.start("fields")] + changed + part[block.end("fields") :]


if __name__ == "__main__":
    main()
