"""`explain CODE`: what an error code means, in a paragraph."""

import click

from gateway.cli import render
from gateway.cli.codes import explain as explain_code
from gateway.cli.errors import CliError, Exit
from gateway.cli.options import json_option


@click.command()
@json_option
@click.argument("code")
def explain(*, code: str, as_json: bool) -> None:
    """Explain CODE, as in `ledgermill explain WF014`."""
    text = explain_code(code)
    if text is None:
        raise CliError(
            "CLI010", f"there is no code {code}", help="codes stand in brackets at the end of an error", exit_code=Exit.NOT_FOUND
        )
    if as_json:
        render.print_json({"code": code.upper(), "explanation": text})
    else:
        click.echo(f"{code.upper()}\n\n{click.wrap_text(text, 100)}")
