"""Step 6: a pull request with that change, and the report of step 3. By git, and by `gh` (--with, for another one).

Done again for the same model it changes the branch and keeps the pull request. Nothing to change: nothing is opened.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True, help="that pin.py changed")
    parser.add_argument("--model", required=True)
    parser.add_argument("--registered", type=Path, default=Path("build/registered.json"))
    parser.add_argument("--report", type=Path, default=Path("build/report.md"))
    parser.add_argument("--base", default="main", help="the branch that is applied")
    parser.add_argument("--with", dest="program", default="gh", help="a program that takes gh's arguments")
    options = parser.parse_args()
    told = json.loads(options.registered.read_text())
    if not git("status", "--porcelain", "--", str(options.file)):
        print(f"{options.file} says it already; there is nothing to open")
        return
    branch = f"modelward/{options.model}"
    title = f"{options.model}: {told['digest'].removeprefix('sha256:')[:12]}"
    git("switch", "--force-create", branch)
    git("add", "--", str(options.file))
    who = ["-c", "user.name=modelward", "-c", "user.email=modelward@users.noreply.github.com"]
    git(*who, "commit", "--message", f"{title}\n\n{told['uri']}\n{told['digest']}")
    git("push", "--force", "origin", branch)
    body = f"{told['uri']}\n\n`{told['digest']}`\n\n{options.report.read_text()}"
    listed = subprocess.run(
        [options.program, "pr", "list", "--head", branch, "--json", "number"],
        text=True,
        capture_output=True,
        check=True,
    )
    (number,) = [str(each["number"]) for each in json.loads(listed.stdout)][:1] or [""]
    verb = ["edit", number] if number else ["create", "--base", options.base, "--head", branch]
    subprocess.run([options.program, "pr", *verb, "--title", title, "--body", body], check=True)


def git(*arguments: str) -> str:
    ended = subprocess.run(["git", *arguments], text=True, capture_output=True, env=os.environ, check=False)
    if ended.returncode:
        raise SystemExit(f"git {arguments[0]}: {ended.stderr.strip()}")
    return ended.stdout.strip()


if __name__ == "__main__":
    main()
