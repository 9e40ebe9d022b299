"""A signer as a process of its own, as an operator starts it."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rigs.server import LEDGERMILL

READY_SECONDS = 60.0


@contextmanager
def signer(data: Path, database_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """`serve signer` until the end of the block."""
    said = data.parent / "signer.out"
    arguments = [str(LEDGERMILL), "serve", "signer", "--data", str(data)]
    with said.open("wb") as out:
        process = subprocess.Popen(arguments, env=os.environ | {"LEDGERMILL_DATABASE_URL": database_url}, stdout=out, stderr=out)
    try:
        give_up_at = time.monotonic() + READY_SECONDS
        while b"at work" not in said.read_bytes():
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < give_up_at, said.read_text()
            time.sleep(0.02)  # polls another process: there is nothing to wait on
        yield process
    finally:
        process.terminate()
        process.wait(READY_SECONDS)
