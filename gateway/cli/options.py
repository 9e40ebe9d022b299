"""Options that many verbs share, so that they are spelled and explained the same way everywhere."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Target(msgspec.Struct, frozen=True):
    """Which server a verb talks to: the one of a data directory, or one by its URL with the file that holds its token.

    ca_file: the authority that signed its certificate; cert_file, key_file: the verb's own, where the server asks for one.
    """

    data: Path
    server: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


def default_data() -> Path:
    """`LEDGERMILL_DATA`, else the state directory of the user (XDG). The same rule as the server's settings."""
    named = os.environ.get("LEDGERMILL_DATA")
    if named:
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "ledgermill"


def data_option() -> Decorator:
    """`--data DIR`."""
    return click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=None, help="Data directory of a local server.")


FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def tls_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--ca-file`, `--cert-file`, `--key-file`: what a server with TLS may need."""
    for option in reversed(
        (
            click.option("--ca-file", type=FILE, default=None, help="The authority of its certificate, PEM (default: the system's)."),
            click.option("--cert-file", type=FILE, default=None, help="A client certificate, PEM, where it asks for one."),
            click.option("--key-file", type=FILE, default=None, help="The private key of that certificate, PEM."),
        )
    ):
        function = option(function)
    return function


def target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--data`, or `--server` with `--token-file`; the function gets one argument `target`."""

    @data_option()
    @click.option("--server", default=None, metavar="URL", help="A server elsewhere (with --token-file).")
    @click.option("--token-file", type=FILE, default=None, help="File with its token.")
    @tls_options
    def wrapped(data: Path | None, server: str | None, token_file: Path | None, **others: Any) -> Any:
        files = [others.pop(name) for name in ("ca_file", "cert_file", "key_file")]
        if server is not None and token_file is None:
            raise click.UsageError("--server needs --token-file")
        return function(target=Target((data or default_data()).absolute(), server, token_file, *files), **others)

    wrapped.__name__ = function.__name__
    wrapped.__doc__ = function.__doc__
    # click keeps options on the function that it decorates: hand over those that stand below this one
    wrapped.__click_params__ = [*getattr(function, "__click_params__", []), *getattr(wrapped, "__click_params__", [])]  # type: ignore[attr-defined]  # click keeps the options that were declared so
    return wrapped


json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
run_argument = click.argument("run", metavar="RUN")
