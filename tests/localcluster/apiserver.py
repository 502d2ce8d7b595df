"""A real etcd and kube-apiserver for tests that need no pods: up in seconds, gone without a trace."""

import os
import shutil
import signal
import ssl
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from localcluster import binaries, debian, pki
from localcluster.controlplane import ControlPlane
from localcluster.loopback import free_port
from localcluster.processes import Process
from localcluster.progress import wait_for

START_SECONDS = 90.0


class ApiServer:
    """`with ApiServer() as server:` gives `server.kubeconfig` and `server.audit_log`.

    Raises SetupError where a binary is missing or the API server does not become ready.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="modelward-api-"))
        self._plane = ControlPlane(
            self._folder, "127.0.0.1", free_port(), free_port(), free_port(), service_cidr="10.96.0.0/16"
        )
        self._etcd = Process("etcd", self._folder)
        self._apiserver = Process("kube-apiserver", self._folder)
        self.kubeconfig = self._folder / "kubeconfig"
        self.audit_log = self._plane.audit_log
        self.certificate_authority = self._plane.certificates / "ca.crt"
        self.url = self._plane.server

    @property
    def token(self) -> str:
        """The administrator's."""
        return (self._plane.certificates / "token").read_text()

    def start(self) -> None:
        """Start, or start again with the same address and data after `stop`."""
        if "KUBEBUILDER_ASSETS" not in os.environ:
            debian.ensure(debian.APISERVER_PACKAGES)
        names = ["IP:127.0.0.1", "DNS:localhost", "DNS:kubernetes.default.svc"]
        pki.create(self._plane.certificates, names, {"kubelet-client": "/CN=kubelet-client"})
        self.kubeconfig.write_text(pki.kubeconfig(self._plane.certificates, self._plane.server, "modelward-api"))
        self._etcd.start(self._plane.etcd_command(binaries.etcd()), dies_with_us=True)
        # Nobody makes service accounts here, so that pods could not be created.
        command = [*self._plane.apiserver_command(binaries.apiserver()), "--disable-admission-plugins=ServiceAccount"]
        self._apiserver.start(command, dies_with_us=True)
        wait_for("the API server's start", self._ready, START_SECONDS)

    def stop(self) -> None:
        """End both processes; the data stays for another `start`."""
        self.resume()
        self._apiserver.stop()
        self._etcd.stop()

    def pause(self) -> None:
        """Let the API server hang: it accepts connections and answers nothing, as behind a broken network."""
        self._apiserver.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._apiserver.signal(signal.SIGCONT)

    def __enter__(self) -> "ApiServer":
        try:
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ready(self) -> bool:
        self._etcd.check()
        self._apiserver.check()
        return is_ready(self._plane)


def is_ready(plane: ControlPlane) -> bool:
    """Whether the API server says so itself."""
    context = ssl.create_default_context(cafile=str(plane.certificates / "ca.crt"))
    token = (plane.certificates / "token").read_text()
    request = urllib.request.Request(f"{plane.server}/readyz", headers={"Authorization": f"Bearer {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
