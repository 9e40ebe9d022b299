"""What a verb says when it cannot do what was asked: code, what, where, because, help; and the exit code that goes with it.

One object is rendered for people here and was, where it came from a server, the body of an HTTP problem. It must never
show a stack trace: those go to a file whose path is shown.
"""

from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """The exit codes of every verb; scripts rely on them."""

    OK = 0
    FAILED = 1
    CANCELLED = 2
    INFRASTRUCTURE = 3
    AUTHENTICATION = 4
    NOT_FOUND = 5
    USAGE = 64


class CliError(Exception):
    """The verb ends here. place: "file:line:col" or another spot to look at; because: the cause; help: what to do."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        place: str | None = None,
        because: str | None = None,
        help: str | None = None,  # noqa: A002 - the word that people read
        exit_code: Exit = Exit.FAILED,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.because = because
        self.help = help
        self.exit_code = exit_code

    def render(self, *, colour: bool = False) -> str:
        """The form for people, without a line break at the end."""
        label = f"error[{self.code}]"
        lines = [f"{red(label) if colour else label}: {self.message}"]
        if self.place:
            lines.append(f"  --> {self.place}")
        if self.because:
            lines.append(f"because: {self.because}")
        if self.help:
            lines.append(f"help: {self.help}")
        return "\n".join(lines)


def red(text: str) -> str:
    """The text in bold red, for a terminal."""
    return f"\033[1;31m{text}\033[0m"


def usage(message: str, help: str | None = None) -> CliError:  # noqa: A002 - see CliError
    """The command line itself is wrong."""
    return CliError("CLI001", message, help=help, exit_code=Exit.USAGE)


def from_problem(status: int, problem: dict[str, Any], target: str) -> CliError:
    """The error behind an HTTP problem (RFC 9457). target: what was asked for, where the problem does not say."""
    exits = {401: Exit.AUTHENTICATION, 403: Exit.AUTHENTICATION, 404: Exit.NOT_FOUND}
    detail = problem.get("detail") or problem.get("title") or f"HTTP {status} for {target}"
    places = [f"{each.get('pointer', '')} {each.get('message', '')}".strip() for each in problem.get("errors", ())]
    return CliError(
        str(problem.get("code") or f"HTTP{status}"),
        str(detail),
        because="; ".join(places) or None,
        help=problem.get("hint"),
        exit_code=exits.get(status, Exit.FAILED),
    )
