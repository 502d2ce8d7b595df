"""The steps of a model's pod as processes of their own: download, compile, serve; and the markers of harm."""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import urllib3

from unit.inference.processes import DEADLINE, POLL, environment, free_port

SAFE = "onnx,skops,xgboost,lightgbm"
"""The formats that are loaded without anybody's consent: the default."""

CONSENTED = f"{SAFE},sklearn"
SECRET = "s3cr3t-of-the-store"

_numbers = itertools.count()


class Steps:
    """A pod's folders below `parent`. `marker`: what the artifact tries to leave; `peak`: KiB that compile took."""

    def __init__(self, parent: Path) -> None:
        self.folder = parent / f"pod{next(_numbers)}"
        self.artifact, self.bundle, self.volume = (self.folder / each for each in ("artifact", "bundle", "volume"))
        for each in (self.artifact, self.bundle, self.volume):
            each.mkdir(parents=True)
        self.marker = self.folder / "marker"
        self.peak = 0
        self.told: dict[str, Any] = {}

    def variables(self, verb: str, formats: str, **more: str) -> dict[str, str]:
        return environment(
            BUNDLE_DIR=str(self.bundle),
            ARTIFACT_DIR=str(self.artifact),
            MODEL_NAME="m",
            GRPC_PORT="",
            TERMINATION_LOG=str(self.folder / f"log-{verb}"),
            MODEL_ALLOWED_FORMATS=formats,
            HOST="127.0.0.1",
            **more,
        )

    def bring(self, name: str, content: bytes, formats: str = SAFE, **more: str) -> bool:
        """Download and compile. Whether a server would be started."""
        (self.volume / name).write_bytes(content)
        uri = {"MODEL_URI": f"pvc://c/{name}", "PVC_MOUNT": str(self.volume), "AWS_SECRET_ACCESS_KEY": SECRET}
        return self.step("download", formats, **uri, **more) and self.step("compile", formats, **more)

    def step(self, verb: str, formats: str, **more: str) -> bool:
        """Whether it ended well; what it told is in `told`."""
        log = self.folder / f"log-{verb}"
        log.write_text("")
        with (self.folder / "out").open("a") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "modelward_inference", verb],
                env=self.variables(verb, formats, **more),
                cwd=self.folder,
                stdout=out,
                stderr=out,
            )
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.peak = max(self.peak, used.ru_maxrss)
        text = log.read_text()
        self.told = json.loads(text) if text else {}
        return process.returncode == 0

    def serve(self, formats: str = SAFE, body: Any = None, **more: str) -> str:
        """Start the server and, where it becomes ready, ask it; what it answered, or ''."""
        port = free_port()
        with (self.folder / "out").open("a") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "modelward_inference", "serve"],
                env=self.variables("serve", formats, PORT=str(port), **more),
                cwd=self.folder,
                stdout=out,
                stderr=out,
            )
        http = urllib3.PoolManager(retries=False, timeout=DEADLINE)
        try:
            end = time.monotonic() + DEADLINE
            while process.poll() is None and time.monotonic() < end:
                try:
                    if http.request("GET", f"http://127.0.0.1:{port}/v2/health/ready").status == 200:
                        answer = http.request("POST", f"http://127.0.0.1:{port}/v2/models/m/infer", json=body or {})
                        return answer.data.decode(errors="replace")
                except urllib3.exceptions.HTTPError:
                    time.sleep(POLL)
            return ""
        finally:
            process.kill()
            process.wait(DEADLINE)
            http.clear()
