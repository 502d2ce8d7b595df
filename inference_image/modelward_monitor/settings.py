"""What the environment tells the monitor."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from modelward_inference.capture.outcomes import SOCKET
from modelward_inference.errors import InvalidConfiguration

MAX_LEARN_ROWS: Final = 50_000
"""More would not make a better reference, and are held in memory."""


@dataclass(frozen=True)
class Settings:
    """`pod`: its uid; `learn_rows`: that a reference is learned from; `top`: features that have a metric of their own;
    `window`, `farewell`: seconds; `events`: whether KServe's are taken, from whoever sends them;
    `revision`: that metrics tell of; `observed`: there is no bundle, and the first rows tell what the tensors are."""

    model: str
    bundle: Path
    folder: Path
    pod: str
    host: str = "0.0.0.0"  # noqa: S104  a pod's own network
    port: int = 8081
    learn_rows: int = 5000
    top: int = 10
    window: float = 3600.0
    farewell: float = 20.0
    events: bool = False
    log_level: str = "INFO"
    revision: str = ""
    observed: bool = False

    @property
    def socket(self) -> Path:
        return self.folder / "capture.sock"

    @property
    def outcomes(self) -> Path:
        """The socket that outcomes come by."""
        return self.folder / SOCKET

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def answered(self) -> Path:
        return self.folder / "answered"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Raises InvalidConfiguration."""

        def number(name: str, default: int, least: int, most: int) -> int:
            text = environment.get(name, str(default))
            if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
                raise InvalidConfiguration(f"{name} is {text[:50]!r}; set it to a whole number, {least} to {most}")
            return int(text)

        events = environment.get("MONITOR_EVENTS", "false").strip().lower()
        if events not in ("true", "false"):
            raise InvalidConfiguration(f"MONITOR_EVENTS is {events[:50]!r}; set it to true or false")
        signature = environment.get("MONITOR_SIGNATURE", "bundle")
        if signature not in ("bundle", "observed"):
            raise InvalidConfiguration(f"MONITOR_SIGNATURE is {signature[:50]!r}; set it to bundle or observed")
        level = environment.get("LOG_LEVEL", "INFO").upper()
        levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        if level not in levels:
            raise InvalidConfiguration(f"LOG_LEVEL is {level[:50]!r}; set it to one of {', '.join(levels)}")
        return cls(
            model=environment.get("MODEL_NAME", "model"),
            bundle=Path(environment.get("BUNDLE_DIR", "/bundle")),
            folder=Path(environment.get("MONITOR_DIR", "/monitor")),
            pod=environment.get("POD_UID", "") or os.uname().nodename,
            host=environment.get("HOST", cls.host),
            port=number("MONITOR_PORT", cls.port, 1, 65_535),
            learn_rows=number("LEARN_ROWS", cls.learn_rows, 100, MAX_LEARN_ROWS),
            top=number("TOP_FEATURES", cls.top, 0, 1000),
            window=number("MONITOR_WINDOW_SECONDS", int(cls.window), 1, 366 * 86_400),
            farewell=number("MONITOR_FAREWELL_SECONDS", int(cls.farewell), 0, 3600),
            events=events == "true",
            log_level=level,
            revision=environment.get("MODEL_REVISION", ""),
            observed=signature == "observed",
        )
