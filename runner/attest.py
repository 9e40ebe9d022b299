"""Reads what a step attests through GITHUB_ARTIFACTS, and takes the digests of the files that it names.

A line is a path (from the workspace), a `file://` URL, or `oci://IMAGE@sha256:DIGEST`. The files are read when the step has
ended, by the runner and not by the step. It must never wait for what is no file: a pipe, a device.
"""

import asyncio
import hashlib
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from domain.job.events import Subject
from domain.job.subjects import PER_JOB_MAX, fault

ARTIFACTS_BYTES_MAX = 1024 * 1024
"""GitHub's limit for the file."""
_IMAGE = re.compile(r"oci://(?P<name>[^@\s]+)@sha256:(?P<digest>[0-9a-f]{64})")


class AttestError(ValueError):
    """What a step attests cannot be; none of it counts. The message names the line."""


class Named(msgspec.Struct, frozen=True):
    """One line. name: of the subject; path: of the file to read, None for an image, whose digest is `sha256`."""

    name: str
    path: Path | None
    sha256: str = ""


def read_lines(text: str, workspace: Path) -> list[Named]:
    """The lines of the file, without empty ones. Raises AttestError."""
    return [_named(line.strip(), number, workspace) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _named(line: str, number: int, workspace: Path) -> Named:
    if line.startswith("oci://"):
        image = _IMAGE.fullmatch(line)
        if image is None:
            raise AttestError(f"line {number}: '{line}' is not oci://IMAGE@sha256: with 64 hexadecimal digits")
        return Named(image["name"], None, image["digest"])
    if line.startswith("file://"):
        parts = urlsplit(line)
        if parts.netloc not in ("", "localhost"):
            raise AttestError(f"line {number}: '{line}' names a file of another machine")
        line = unquote(parts.path)
    path = Path(os.path.normpath(workspace / line))
    name = path.relative_to(workspace).as_posix() if path.is_relative_to(workspace) else path.name
    return Named(name, path)


async def subjects(named: Iterable[Named], before: int) -> tuple[Subject, ...]:
    """The subjects with their digests. before: how many the job has attested already. Raises AttestError."""
    wanted = list({each.name: each for each in named}.values())
    if before + len(wanted) > PER_JOB_MAX:  # told before anything is read
        raise AttestError(f"with these the job attests {before + len(wanted)} files, and at most {PER_JOB_MAX} are kept")
    found = tuple([Subject(each.name, each.sha256 or await asyncio.to_thread(_digest, each)) for each in wanted])
    if wrong := fault(found, before):
        raise AttestError(wrong)
    return found


def _digest(named: Named) -> str:
    assert named.path is not None, "an image has its digest"  # noqa: S101 - a fact, not a check
    try:
        descriptor = os.open(named.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise AttestError(f"{named.name} cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AttestError(f"{named.name} is no file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AttestError(f"{named.name} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
