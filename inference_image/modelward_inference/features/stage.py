"""The stage before the model: requests that bring keys of entities get their features from the store.

Whatever the transport: the data plane asks it. Failure: RequestError for the client's mistakes; ModelRefusedError (422)
where the store has no value, or none that is fresh, and the rule says Refuse; UnavailableError (503, 504) where the
store gives no answer that can be used. Every value and every failure is counted.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from modelward_inference.artifact.bundle import Manifest
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.features import answers
from modelward_inference.features.answers import AnswerError, Found, MissingFeaturesError
from modelward_inference.features.client import DENIED, OVERLOADED, TIMEOUT, Client, StoreError, Trust
from modelward_inference.features.settings import FeatureSettings
from modelward_inference.features.wanted import Keys, keys_of, wanted_of
from modelward_inference.protocol.entities import PREFIX
from modelward_inference.protocol.messages import InferRequest, ModelRefusedError, RequestError, UnavailableError
from modelward_inference.telemetry import features as metrics
from modelward_telemetry.logs import QUOTES

log = logging.getLogger(__name__)

MAX_ROWS: Final = 1000
"""Of a request whose features are looked up."""

MANY: Final = 2000
LARGE: Final = 128 << 10
"""Values, and bytes, from which an answer is read in a thread: a feature service may have more than the model takes."""

TOLD_EVERY: Final = 10.0
"""Seconds between two lines of the log about a store that fails."""

PARAMETER: Final = "features"
"""Of an answer: the feature service and the digest of its definitions."""

Clock = Callable[[], float]


class Stage:
    """Of one model. `wall`: seconds since the epoch. Raises InvalidConfiguration where the model's inputs have no
    names."""

    def __init__(
        self, settings: FeatureSettings, manifest: Manifest, version: str, trust: Trust, wall: Clock = time.time
    ) -> None:
        self._settings, self._wall = settings, wall
        self._wanted = wanted_of(manifest.signature, manifest.columns, settings)
        self._client = Client(settings.url, settings.concurrent, trust, self._token if settings.token else None)
        self._metrics = metrics.Store(manifest.name, version)
        self._told = -TOLD_EVERY
        self.digest: str | None = None
        """Of the definitions behind the last answer."""
        metrics.PENDING.set_function(lambda: self._client.waiting)
        if settings.token is not None:
            self._token()

    def definitions(self) -> dict[str, Any]:
        """What clients are told: by which keys they may ask, and the definitions behind the last answer, if there was
        one."""
        keys = [{"name": each.name, "datatype": each.datatype} for each in self._settings.entities]
        told = {"service": self._settings.service, "entities": keys}
        return told | ({"digest": self.digest} if self.digest else {})

    async def filled(self, request: InferRequest, latest: float) -> InferRequest:
        """The request as the model takes it; the same where it brings its features itself. `latest`: seconds of
        time.monotonic()."""
        keys = keys_of(request, self._settings.entities, self._wanted)
        if keys is None or not keys.rows:
            return request
        if keys.rows > MAX_ROWS:
            raise RequestError(f"inputs has {keys.rows} keys; features of {MAX_ROWS} rows are looked up at a time", 413)
        began = time.monotonic()
        deadline = min(began + self._settings.timeout, latest)
        try:
            body = await self._client.ask(answers.question(self._settings, keys), deadline)
            many = keys.rows * len(keys.lacking) > MANY or len(body) > LARGE
            found = await asyncio.to_thread(self._read, keys, body) if many else self._read(keys, body)
        except InvalidConfiguration as error:  # the token is gone
            self._metrics.failed(time.monotonic() - began, DENIED)
            raise self._unavailable(StoreError(DENIED, "there is no token to ask with", str(error))) from None
        except MissingFeaturesError as error:
            self._metrics.answered(time.monotonic() - began, error.counts)
            raise ModelRefusedError(str(error), "features", 422) from None
        except (StoreError, AnswerError) as error:
            self._metrics.failed(time.monotonic() - began, error.reason)
            raise self._unavailable(error) from None
        self._metrics.answered(time.monotonic() - began, found.counts)
        if found.digest != self.digest:
            self.digest = found.digest
            self._metrics.defined(self._settings.service, found.digest)
        filled = InferRequest(
            (*keys.own, *found.inputs), request.outputs, request.id, request.binary_output, request.parameters,
            request.origin,
        )  # fmt: skip
        filled.told = {PARAMETER: f"{self._settings.service}@{found.digest}"}
        filled.entities = {
            PREFIX + name: np.array(values, dtype=object if isinstance(values[0], str) else np.int64)
            for name, values in keys.columns.items()
        }
        return filled

    def close(self) -> None:
        """At the end."""
        self._client.close()

    def _read(self, keys: Keys, body: bytes) -> Found:
        return answers.found(self._settings, keys, answers.read(body, keys.rows), self._wall())

    def _unavailable(self, error: StoreError | AnswerError) -> UnavailableError:
        now = time.monotonic()
        if now - self._told >= TOLD_EVERY:
            self._told = now
            said = f"; it says: {error.said}" if isinstance(error, StoreError) and error.said else ""
            log.warning("features (%s): %s%s", error.reason, error, said, extra={QUOTES: True})
        status = 504 if error.reason == TIMEOUT else 503
        return UnavailableError(
            f"features can't be had ({error.reason}): {error}", status, again=error.reason == OVERLOADED
        )

    def _token(self) -> str:
        """Raises InvalidConfiguration."""
        path = self._settings.token
        assert path is not None, "asked for where there is one alone"
        try:
            token = path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            token = ""
        if not token or not token.isprintable() or " " in token:
            raise InvalidConfiguration(
                f"{path} holds no token; put one line of printable ASCII into the Secret of spec.features.tokenSecret"
            )
        return token
