"""`runner register`: this machine hands in a registration token and a public key, and keeps what it is granted."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.cli.errors import CliError, Exit
from runner import assertions, environment, wire
from runner.join import Wish
from runner.join import join as ask
from runner.problems import Distrusted, ProtocolError, Rejected
from runner.server import Server, tls


def join(  # noqa: PLR0917 - what the verb's options say
    kept: Path,
    url: str,
    token: str,
    name: str,
    labels: Sequence[str],
    group: str,
    ephemeral: bool,
    files: Mapping[str, Path | None],
) -> wire.Joined:
    """Join the server at `url`; the credential is then in `kept`. Raises CliError."""
    paths = {option: str(file.absolute()) if file else None for option, file in files.items()}
    wish = Wish(
        name=name,
        labels=tuple(labels),
        group=group,
        ephemeral=ephemeral,
        os=environment.system().lower(),
        arch=environment.architecture().lower(),
        version=environment.release(),
    )
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        runner, key, joined = asyncio.run(ask(Server(url, lambda: token, tls(url, **paths)), wish))
    except Rejected as error:
        problem = error.problem
        code = Exit.AUTHENTICATION if problem.status in (401, 403) else Exit.FAILED
        raise CliError(problem.code, problem.detail or problem.title, help=problem.hint or None, exit_code=code) from error
    except Distrusted as error:
        raise CliError(
            "RNR004", f"{url} and this machine do not trust each other", because=str(error), exit_code=Exit.AUTHENTICATION
        ) from error
    except ProtocolError as error:
        raise CliError("API001", f"no answer from {url}", because=str(error)) from error
    except OSError as error:
        raise CliError("RNR002", "a certificate or its key cannot be used", because=str(error), exit_code=Exit.USAGE) from error
    credential = assertions.Credential(
        url=url, runner=runner, name=joined.name, labels=joined.labels, key=key, ephemeral=joined.ephemeral, **paths
    )
    assertions.keep(credential, kept)
    return joined
