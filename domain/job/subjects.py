"""What the steps of a job attest: files by name and SHA-256, as their runner tells them."""

import re
from collections.abc import Iterable

from domain.job.events import Subject

PER_JOB_MAX = 500
"""So many subjects may one attempt of a job name; GitHub's limit."""
NAME_LENGTH_MAX = 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


def fault(subjects: tuple[Subject, ...], before: int) -> str:
    """What is wrong with the subjects of a step, "" where nothing is. before: how many the attempt had named already."""
    if before + len(subjects) > PER_JOB_MAX:
        return f"with it the job attests {before + len(subjects)} files, and at most {PER_JOB_MAX} are kept"
    for each in subjects:
        if not 0 < len(each.name) <= NAME_LENGTH_MAX or not each.name.isprintable():
            return f"a subject's name is empty, longer than {NAME_LENGTH_MAX} characters, or not printable"
        if not _SHA256.fullmatch(each.sha256):
            return f"the subject {each.name} has no SHA-256 of 64 hexadecimal digits"
    return ""


def merged(told: Iterable[Subject]) -> tuple[Subject, ...]:
    """By name, the last word on each: a file that a later step attests anew is that file."""
    last = {each.name: each for each in told}
    return tuple(last[name] for name in sorted(last))
