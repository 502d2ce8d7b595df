"""Where docs/runbooks of this checkout can be read in a browser, by the address that Git has of it: `make -s runbooks`.

For `make alerts RUNBOOKS=…` and the chart's value monitoring.prometheusRule.runbooks. Nothing is guessed: an address
that is none of a web page is told, with what to write instead. Credentials in it are never repeated.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from manifests.alerts.rules import BOOKS

_SCP: Final = re.compile(r"(?:[\w.-]+@)?(?P<host>[A-Za-z0-9.-]+):(?P<path>[^/:][^:]*)")
"""git@HOST:OWNER/REPOSITORY.git."""

_PATH: Final = re.compile(r"[\w.~-]+(/[\w.~-]+)+", re.ASCII)

CURE: Final = "say where docs/runbooks can be read: RUNBOOKS=https://wiki.example.com/runbooks"


def address_of(remote: str) -> str | None:
    """The folder's page, by a remote of Git. GitHub's and GitLab's form, with the branch that is theirs by default;
    None: it is no address of a host."""
    if "://" in remote:
        try:
            parts = urlsplit(remote)
            host, port, path = parts.hostname or "", parts.port, parts.path
        except ValueError:
            return None
        if parts.scheme not in ("https", "http", "ssh", "git"):
            return None
        web = f":{port}" if port and parts.scheme in ("https", "http") else ""
        scheme = "http" if parts.scheme == "http" else "https"
    else:
        found = _SCP.fullmatch(remote)
        if found is None:
            return None
        scheme, host, web, path = "https", found["host"], "", found["path"]
    path = path.strip("/").removesuffix(".git")
    if not host or not _PATH.fullmatch(path):
        return None
    return f"{scheme}://{host}{web}/{path}/blob/HEAD/{BOOKS}"


def main() -> int:
    root = Path(__file__).parents[2]
    asked = subprocess.run(["git", "-C", str(root), "remote", "get-url", "origin"], capture_output=True, text=True)
    found = address_of(asked.stdout.strip()) if asked.returncode == 0 else None
    if found is None:
        print(f"this checkout has no remote `origin` with a web page; {CURE}", file=sys.stderr)
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
