"""What stands in for kubectl: it gives out the files of a folder, and runs here what is to be run in a container.

A program in the folder, started as kubectl would be, and a function that does the same in the test's own process.
"""

import json
import os
import pathlib
import subprocess
import sys


def answer(arguments: list[str], told: str, folder: pathlib.Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """kubectl's exit code, what it writes, and what it writes to stderr; `told`: what it reads."""
    with (folder / "calls").open("a") as log:
        log.write(json.dumps(arguments) + "\n")
    arguments = [each for each in arguments if not each.startswith(("--namespace=", "--context=", "--kubeconfig="))]
    verb, what = arguments[0], arguments[1]
    refused = folder / f"{what}.refused"
    if refused.exists():
        return 1, "", refused.read_text() + "\n"
    name = arguments[2] if len(arguments) > 2 and not arguments[2].startswith("-") else None
    stored = folder / f"{what}.json"
    if verb == "version":
        return 0, json.dumps({"clientVersion": {}}) + "\n", ""
    if verb == "get":
        waiting = folder / f"{what}.next"  # what a later look shows, one a line
        later = waiting.read_text().splitlines() if waiting.exists() else []
        if later:
            stored.write_text(later[0])
            waiting.write_text("\n".join(later[1:]))
        items = json.loads(stored.read_text())["items"] if stored.exists() else []
        if name is None:
            return 0, json.dumps({"items": items}) + "\n", ""
        found = [each for each in items if each["metadata"]["name"] == name]
        if not found:
            return 1, "", f'Error from server (NotFound): {what} "{name}" not found\n'
        return 0, json.dumps(found[0]) + "\n", ""
    if verb == "apply":
        given = json.loads(told)
        stored = folder / "modeldeployments.modelward.io.json"
        body = json.loads(stored.read_text())
        applied = ""
        for each in body["items"]:
            if each["metadata"]["name"] == given["metadata"]["name"]:
                each["spec"]["model"] = given["spec"]["model"]
                each["metadata"]["generation"] += 1
                applied += json.dumps(each) + "\n"
        stored.write_text(json.dumps(body))
        return 0, applied, ""
    if verb == "annotate":
        body = json.loads(stored.read_text())
        annotation, value = arguments[3].split("=", 1)
        for each in body["items"]:
            if each["metadata"]["name"] == name:
                each["metadata"].setdefault("annotations", {})[annotation] = value
        stored.write_text(json.dumps(body))
        return 0, "", ""
    if verb == "logs":
        container = arguments[arguments.index("-c") + 1]
        log = folder / "logs" / what / (container + (".previous" if "--previous" in arguments else ""))
        if not log.exists():
            said = f'Error from server (BadRequest): there is no log of "{container}" in pod "{what}"\n'
            return 1, "", said
        return 0, log.read_text(), ""
    command = arguments[arguments.index("--") + 1 :]
    assert command[0] == "/opt/venv/bin/python3", command
    ended = subprocess.run(
        [sys.executable, *command[1:]], env={**environment, "MONITOR_DIR": str(folder / "monitors" / what)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


if __name__ == "__main__":
    reads = sys.stdin.read() if "apply" in sys.argv else ""  # behind the namespace
    code, written, said = answer(sys.argv[1:], reads, pathlib.Path(__file__).parent, dict(os.environ))
    sys.stdout.write(written)
    sys.stderr.write(said)
    sys.exit(code)
