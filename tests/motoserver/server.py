"""moto's server as a process of the test's own, on a free loopback port; it forgets everything at its end."""

from pathlib import Path

from foreign import environment
from localcluster.loopback import free_port
from servers import Served

HERE = Path(__file__).parent
START_SECONDS = 120.0


class MotoServer(Served):
    """`with MotoServer() as server:`; `server.url` is every service's endpoint."""

    def __init__(self) -> None:
        super().__init__("moto", START_SECONDS)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def _command(self) -> list[str]:
        program = environment("moto", HERE / "requirements.lock") / "moto_server"
        return [str(program), "-H", "127.0.0.1", "-p", str(self._port)]

    def _asked(self) -> str:
        return f"{self.url}/moto-api/data.json"
