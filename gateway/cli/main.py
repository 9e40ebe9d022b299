"""The `ledgermill` command: finds the verb, imports only what that verb needs, and turns errors into words and exit codes.

`ledgermill --help` must answer within 120 ms, so this module imports click and nothing heavy, and the help texts of the
verbs stand in the table here instead of in their modules. It must never import the web framework, the database driver,
NATS, aiohttp or rich.
"""

import gc
import os
import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from gateway.cli.errors import CliError, Exit

VERBS: dict[str, tuple[str, str, str]] = {
    "up": ("Server", "gateway.cli.server:up", "Start the all-in-one server with local runners."),
    "down": ("Server", "gateway.cli.server:down", "Stop the server of a data directory."),
    "status": ("Server", "gateway.cli.server:status", "Show the server of a data directory."),
    "serve": ("Server", "gateway.cli.server:serve", "Start one part of the server, for several machines."),
    "doctor": ("Server", "gateway.cli.doctor:doctor", "Check this machine and say how to fix what is missing."),
    "config": ("Server", "gateway.cli.about:config", "Show the settings in force and where they come from."),
    "run": ("Workflows", "gateway.cli.run:run", "Run the workflows of a repository now, with live output."),
    "plan": ("Workflows", "gateway.cli.plan:plan", "Show what an event would run, and what not and why."),
    "lint": ("Workflows", "gateway.cli.lint:lint", "Check workflow files."),
    "explain": ("Workflows", "gateway.cli.explain:explain", "Explain an error code."),
    "workflow": ("Workflows", "gateway.cli.workflow:workflow", "List and view workflows; enable and disable them."),
    "repository": ("Workflows", "gateway.cli.repository:repository", "List repositories and change their settings."),
    "runs": ("Runs", "gateway.cli.runs:runs", "List, view, watch, cancel and re-run runs."),
    "watch": ("Runs", "gateway.cli.runs:watch", "Follow a run live (short for `runs watch`)."),
    "cancel": ("Runs", "gateway.cli.runs:cancel", "Cancel a run (short for `runs cancel`)."),
    "rerun": ("Runs", "gateway.cli.rerun:rerun", "Run a run again (short for `runs rerun`)."),
    "logs": ("Runs", "gateway.cli.logs:logs", "Show the log of a run, a job or a step."),
    "why": ("Evidence", "gateway.cli.why:why", "Tell why a run or a job waits, was skipped, failed, or was slow."),
    "events": ("Evidence", "gateway.cli.events:events", "Show the events of a run, or all as they come."),
    "replay": ("Evidence", "gateway.cli.replay:replay", "Rebuild a run from its events; compare, verify, travel in time."),
    "check": ("Evidence", "gateway.cli.check:check", "Prove the invariants on the whole log."),
    "export": ("Evidence", "gateway.cli.bundles:export", "Write a run as one signed file."),
    "attest": ("Evidence", "gateway.cli.attest:attest", "Name files as outcomes in a job; show and verify provenance."),
    "audit": ("Evidence", "gateway.cli.audit:audit", "Show who did what; prove that nobody changed the log."),
    "token": ("Access", "gateway.cli.token:token", "Make, list and revoke access tokens."),
    "runner": ("Fleet", "gateway.cli.runner:runner", "Register, start, list, drain and remove runners."),
    "queue": ("Fleet", "gateway.cli.queue:queue", "Show what waits for a runner, whose turn it is, and why."),
    "projection": ("Fleet", "gateway.cli.projection:projection", "List views, their lag, and rebuild them."),
    "completion": ("Other", "gateway.cli.about:completion", "Print the completion script of a shell."),
    "version": ("Other", "gateway.cli.about:version", "Print the version."),
}
"""Verb to (section, where it is, one line for the list of verbs)."""
STARTERS = ("asyncio", "multiprocessing", "subprocess")
"""Who imports none of these has started nothing that must be ended."""


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - see list_commands
        """Import and return one verb."""
        entry = VERBS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry[1].partition(":")
        gc.disable()  # what modules make stays, and looking for garbage in it took a tenth of the time of `lint`
        found = getattr(import_module(module), attribute)
        gc.enable()
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - see list_commands
        """The list of verbs by section, from the table alone."""
        for section in dict.fromkeys(entry[0] for entry in VERBS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, entry[2]) for name, entry in VERBS.items() if entry[0] == section])


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="ledgermill", message="%(prog)s %(version)s")
def cli() -> None:
    """Run GitHub Actions workflow files on your own machines; every state change is an event that can be replayed.

    Start with `ledgermill run` in a repository with .github/workflows. RUN is an id, a unique prefix of one, `latest`,
    WORKFLOW#N, or N where only one workflow has it.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns its exit code. Without arguments: the process's own, which may end here."""
    code = _run(arguments)
    if arguments is None and threading.active_count() == 1 and not any(name in sys.modules for name in STARTERS):
        # Nothing runs or waits to be told of the end, and taking all modules apart took a fifth of the time of `lint`.
        with suppress(OSError):
            sys.stderr.flush()
            sys.stdout.flush()
            os._exit(code)
    return code


def _run(arguments: list[str] | None) -> int:
    try:
        result: Any = cli.main(args=arguments, prog_name="ledgermill", standalone_mode=False)
        code = int(result or 0)
        sys.stdout.flush()
    except CliError as error:
        click.echo(error.render(colour=coloured()), err=True)
        return error.exit_code
    except click.ClickException as error:
        return _usage(error)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except SystemExit:  # click's own answer to a closed pipe and to a shell that completes
        if "PacifyFlush" in type(sys.stdout).__name__:  # click put it there because the reader has gone
            return Exit.OK
        raise
    except BrokenPipeError:  # the reader (head, less) has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:  # noqa: BLE001 - the last resort: a person reads a sentence, a developer the file
        return _internal(error)
    return code


def coloured() -> bool:
    """Whether errors may be coloured: standard error is a terminal and NO_COLOR is not set."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def _usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    if isinstance(context, click.Context):
        click.echo(context.get_usage(), err=True)
        hint = f"`{context.command_path} --help` lists what there is"
    else:
        hint = "`ledgermill --help` lists what there is"
    shown = CliError("CLI001", error.format_message(), help=hint, exit_code=Exit.USAGE)
    click.echo(shown.render(colour=coloured()), err=True)
    return Exit.USAGE


def _internal(error: Exception) -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="ledgermill-", suffix=".txt", delete=False) as file:
        file.writelines(traceback.format_exception(error))
    shown = CliError(
        "CLI099",
        f"{type(error).__name__}: {error}",
        because="this is a mistake in Ledgermill itself",
        help=f"report it with {file.name}, which holds the details",
    )
    click.echo(shown.render(colour=coloured()), err=True)
    return Exit.FAILED
