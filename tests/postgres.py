"""A real PostgreSQL server of a test's own, Debian's: a process on a loopback port, gone with its data at the end."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg

from localcluster import debian
from localcluster.loopback import free_port
from localcluster.progress import wait_for

PROGRAMS: Final = "/usr/lib/postgresql"
OWNER: Final = "owner"
PASSWORD: Final = "secret-of-owner"
DATABASE: Final = "lake"


def programs() -> Path:
    """The folder of the newest version's. Installed where there is none."""
    debian.ensure({PROGRAMS: "postgresql"})
    return max(Path(PROGRAMS).glob("*/bin"), key=lambda folder: int(folder.parent.name))


LOOPBACK: Final = "127.0.0.1"


class Postgres:
    """It answers when it is made. `owner` and each other role have to give a password. `address`: where it listens;
    `network`: who may ask it there, besides this machine."""

    def __init__(self, address: str = LOOPBACK, network: str | None = None) -> None:
        self.address = address
        self._folder = Path(tempfile.mkdtemp(prefix="mwpg"))
        # It does not run as root.
        self._user = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self._folder, self._user, -1)
        data, secret = self._folder / "data", self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(
            "initdb", "-D", str(data), "-U", OWNER, "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8",
            "--locale=C", "--no-sync",
        )  # fmt: skip
        if network is not None:
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {network} scram-sha-256\n")
        self.port = free_port()
        # What is said in another zone must not become another time.
        options = ["-c", "fsync=off", "-c", "timezone=Asia/Kolkata", "-c", f"listen_addresses={address}"]
        self._process = subprocess.Popen(
            [programs() / "postgres", "-D", data, "-p", str(self.port), "-k", self._folder, *options],
            user=self._user, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for("PostgreSQL", self._answers, 60)
        with self.connected("postgres") as con:
            con.execute(f"CREATE DATABASE {DATABASE}")

    @property
    def url(self) -> str:
        """Without credentials."""
        return f"postgres://{self.address}:{self.port}/{DATABASE}"

    @contextlib.contextmanager
    def connected(self, database: str = DATABASE) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(
            host=self.address, port=self.port, user=OWNER, password=PASSWORD, dbname=database, autocommit=True
        ) as con:
            yield con

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [programs() / program, *arguments], user=self._user, cwd=self._folder, check=True, capture_output=True
        )

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise ChildProcessError("PostgreSQL has ended")
        try:
            with self.connected("postgres"):
                return True
        except psycopg.OperationalError:
            return False
