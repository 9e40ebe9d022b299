"""The embedded nats-server with JetStream: a random token, a port the kernel chooses, its store inside the data directory.

nats-server does not lock its store; home.py's lock does. Its fsync mode stays at the default: nothing lives only in JetStream.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from infra.embedded.home import Home

PAYLOAD_BYTES_MAX = 8 * 1024 * 1024
MEMORY_SOFT_LIMIT = "96MiB"  # for Go's collector; it grows past it rather than fail


class Nats:
    """A keeper's Service. url holds the token, so it is a secret."""

    death_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_seconds_max: ClassVar[float] = 3.0
    failure_code: ClassVar[str] = "EMB005"
    environment: ClassVar[Mapping[str, str]] = {"GOMEMLIMIT": MEMORY_SOFT_LIMIT}

    def __init__(self, data: Path, program: Path) -> None:
        self.home = Home(data, "nats")
        self.reach = (program,)
        self._token = os.urandom(24).hex()
        self._port: int | None = None

    @property
    def url(self) -> str:
        """nats://TOKEN@127.0.0.1:PORT; known once it has been ready."""
        return f"nats://{self._token}@127.0.0.1:{self._port}"

    def prepare(self, run: Callable[[list[str], bytes], None]) -> None:  # noqa: ARG002 -- Service's shape; only Postgres needs a helper
        """The directories; a killed server leaves its ports file behind."""
        shutil.rmtree(self.home.path / "ports", ignore_errors=True)
        self.home.directory("ports")
        self.home.directory("jetstream")

    def command(self) -> list[str]:
        """Writes the configuration. A restarted server takes its old port again, for clients that know no other."""
        settings = {
            "server_name": "ledgermill",
            "listen": f"127.0.0.1:{self._port or -1}",
            "ports_file_dir": str(self.home.path / "ports"),
            "max_payload": PAYLOAD_BYTES_MAX,
            "authorization": {"token": self._token},
            "jetstream": {"store_dir": str(self.home.path / "jetstream"), "max_memory_store": 32 * 1024 * 1024},
        }
        file = self.home.path / "nats.conf"
        file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as text:
            json.dump(settings, text, indent=2, ensure_ascii=False)  # its parser refuses such escapes
        self.home.hand_over(file)
        return [str(self.reach[0]), "--config", str(file)]

    def ready(self, pid: int) -> bool:
        """The ports file carries the process id in its name and lists the addresses once they are open."""
        try:
            addresses = json.loads((self.home.path / "ports" / f"{self.reach[0].name}_{pid}.ports").read_text())["nats"]
        except (FileNotFoundError, ValueError):
            return False
        self._port = int(addresses[0].rpartition(":")[2])
        return True

    def close(self) -> None:
        """Nothing is held."""
