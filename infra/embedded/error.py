"""What goes wrong with the embedded servers, in the form that every Ledgermill error has: code, message, because, help.

The codes are stable and never reused; the CLI renders them. Never raise a bare OSError out of this package.
"""


class EmbeddedError(Exception):
    """One problem a person can act on.

    code: `EMB` and three digits. message: one sentence with the concrete value. because: the cause, may have several lines
    (the end of a server's log), "" when the message says it all. help: what to do.
    """

    def __init__(self, code: str, message: str, *, because: str = "", help: str) -> None:  # noqa: A002 -- the field's name in every Ledgermill error
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.because = because
        self.help = help

    def __str__(self) -> str:
        """The form a terminal shows: three lines, `because` only when there is one."""
        lines = [f"error[{self.code}]: {self.message}", f"because: {self.because}" if self.because else "", f"help: {self.help}"]
        return "\n".join(line for line in lines if line)


def tail_of(log: bytes, lines: int = 8) -> str:
    """The last non-empty lines of a server's log, for `because`."""
    found = [line.rstrip() for line in log.decode(errors="replace").splitlines() if line.strip()]
    return "\n  ".join(found[-lines:])
