"""How a `run:` text becomes a program: which shell, which file, which arguments.

As GitHub does it: without `shell:`, bash -e or else sh -e; `shell: bash` also fails in the middle of a pipe; a template
of one's own names the script with `{0}`. The text ends in a newline and is written to a file, never passed as argument.
"""

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

KNOWN = {
    "bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail", "{0}"),
    "sh": ("sh", "-e", "{0}"),
    "python": ("python", "{0}"),
    "pwsh": ("pwsh", "-command", ". '{0}'"),
}
SUFFIXES = {"python": ".py", "pwsh": ".ps1", "bash": ".sh", "sh": ".sh"}


class UnknownShell(Exception):  # noqa: N818 - an outcome with a name of its own
    """The shell is not on the PATH, or its template is of no use. The message says what would be."""


def find(program: str, environment: Mapping[str, str], cwd: str) -> str:
    """The absolute path of a program on the step's own PATH. Raises UnknownShell."""
    if os.sep in program:
        path: str | None = os.path.join(cwd, program)  # noqa: PTH118 - keeps an absolute program as it is
        path = path if path is not None and os.access(path, os.X_OK) else None
    else:
        path = shutil.which(program, path=environment.get("PATH", os.defpath))
    if path is None:
        raise UnknownShell(f"{program}: not found on the PATH of this step ({environment.get('PATH', '')})")
    return os.path.abspath(path)  # noqa: PTH100 - a program may be a link whose name says what it does


def template(shell: str | None, environment: Mapping[str, str], cwd: str) -> tuple[str, ...]:
    """The words of the command, with `{0}` where the script's path goes. Raises UnknownShell."""
    if not shell:
        try:
            find("bash", environment, cwd)
        except UnknownShell:
            return KNOWN["sh"]
        return ("bash", "-e", "{0}")
    if shell.strip() in KNOWN:
        return KNOWN[shell.strip()]
    try:
        words = tuple(shlex.split(shell))
    except ValueError as error:
        raise UnknownShell(f"shell: {shell!r} cannot be split into words: {error}") from error
    if not any("{0}" in word for word in words):
        raise UnknownShell(
            f"shell: {shell!r} is none of {', '.join(KNOWN)}, and no template either: a template holds {{0}} for the script's path"
        )
    return words


def write(folder: Path, name: str, shell: str | None, script: str) -> Path:
    """Write the script to a file that only this user can read."""
    first = (shell or "sh").split()[0] if (shell or "").strip() else "sh"
    path = folder / (name + SUFFIXES.get(first, ".sh" if not shell else ""))
    body = script if script.endswith("\n") else script + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body.encode("utf-8", "surrogateescape"))
    return path


def command(shell: str | None, script: Path, environment: Mapping[str, str], cwd: str) -> tuple[str, ...]:
    """The words to run, the first an absolute path. Raises UnknownShell."""
    words = template(shell, environment, cwd)
    program, *arguments = (word.replace("{0}", str(script)) for word in words)
    return (find(program, environment, cwd), *arguments)
