"""Asks the signer of a data directory. It must never retry: who asks decides what an absent signer means."""

import asyncio
import os
from pathlib import Path

import msgspec

from domain.provenance.asking import Answer, Question, SignerAbsent

ANSWER_SECONDS = 30.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024

_decoder = msgspec.json.Decoder(Answer)
_encode = msgspec.json.Encoder().encode


async def ask(path: Path, question: Question) -> Answer:
    """The signer's answer. Raises SignerAbsent."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            found: Answer = _decoder.decode(await _exchange(path, _encode(question)))
            return found
    except (OSError, TimeoutError, msgspec.MsgspecError) as error:
        raise SignerAbsent(f"no signer answers at {path}: {str(error) or type(error).__name__}") from error


async def _exchange(path: Path, question: bytes) -> bytes:
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{descriptor}/{path.name}")
    finally:
        os.close(descriptor)
    try:
        writer.write(question)
        writer.write_eof()
        return await _all(reader)
    finally:
        writer.close()


async def _all(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while piece := await reader.read(64 * 1024):
        content += piece
        if len(content) > ANSWER_BYTES_MAX:
            raise OSError(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
    return content
