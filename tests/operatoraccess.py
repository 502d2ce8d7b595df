"""An operator and a pod that know each other, as the cluster makes them: for the environment of a real process."""

import time
from pathlib import Path

import aiohttp
from yarl import URL

from builders import container, pod
from modelward.facts import PodFacts
from modelward.net.credentials import Credentials
from modelward_auth import keys, messages, verifier
from modelward_auth.keys import KeyPair
from modelward_auth.messages import Session

OPERATOR = KeyPair.of((1 << 287) + 12345)
STRANGER = KeyPair.of((1 << 287) + 54321)


class Access:
    """One pod's. `public`: its key, as its download would announce it."""

    def __init__(self, folder: Path, uid: str = "pod-1", operators: tuple[KeyPair, ...] = (OPERATOR,)) -> None:
        self.uid = uid
        self.key_file, self.keys_file = folder / "pod-key", folder / "operator-keys"
        self.public = verifier.make_key(self.key_file)
        self.know(*operators)

    def know(self, *operators: KeyPair) -> None:
        """From now on the pod knows these keys: a new file in the old one's place, as the kubelet does it."""
        new = self.keys_file.with_suffix(".new")
        new.write_text("".join(f"{keys.shown(each.public)}\n" for each in operators))
        new.replace(self.keys_file)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "OPERATOR_UNAUTHENTICATED": "false", "POD_UID": self.uid, "POD_KEY": str(self.key_file),
            "OPERATOR_KEYS": str(self.keys_file),
        }  # fmt: skip

    def facts(self, **more: object) -> PodFacts:
        """The pod as the operator sees it."""
        done = container("download", exit_code=0)
        seen = {"uid": self.uid, "ip": "127.0.0.1", "key": self.public, "containers": (done,), "namespace": "ml"}
        return pod("one", **{**seen, **more})

    def session(self, operator: KeyPair = OPERATOR) -> Session:
        """What this operator and the pod sign with."""
        public = keys.parsed(self.public)
        return Session.of(keys.agreed(operator.secret, public), operator.public, public)

    def header(
        self,
        process: str,
        method: str = "GET",
        target: str = "/v1/counts",
        body: bytes = b"",
        *,
        operator: KeyPair = OPERATOR,
        uid: str | None = None,
        seconds: float = 0.0,
    ) -> str:
        """A request's header. `seconds`: from now that it says it was made."""
        moment = int((time.time() + seconds) * 1000)
        request = messages.asked(messages.audience(uid or self.uid, process), method, target, body, moment)
        return messages.header(request, operator.identifier, self.session(operator))


def credentials(operator: KeyPair | None = OPERATOR) -> Credentials:
    return Credentials(lambda: operator, time.time)


async def raw(port: int, method: str, path: str, header: str | None, body: bytes = b"") -> tuple[int, bytes, bool]:
    """A plain request: status, body, and whether the answer has a proof."""
    headers = {} if header is None else {messages.HEADER: header}
    url = URL(f"http://127.0.0.1:{port}{path}", encoded=True)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=body or None, headers=headers) as answer,
    ):
        return answer.status, await answer.read(), messages.PROOF in answer.headers
