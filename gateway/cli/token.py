"""`token create/list/revoke`: who else may use the server, as what, until when."""

import re

import click

from gateway.cli import render
from gateway.cli.connect import connected
from gateway.cli.errors import usage
from gateway.cli.options import Target, json_option, target_options

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
ROLES = ("viewer", "developer", "maintainer", "admin", "runner")


@click.group()
def token() -> None:
    """Make, list and revoke access tokens."""


@token.command()
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What it may do; each may what those before it may, but runner.")
@click.option("--expires-in", default="90d", show_default=True, metavar="TIME", help="As in 12h or 30d; never: until it is revoked.")
@click.option("--tenant", default=None, help="Another tenant, which begins with its first token (the server's own token only).")
@json_option
@target_options
def create(*, target: Target, name: str, role: str, expires_in: str, tenant: str | None, as_json: bool) -> None:
    """Make a token called NAME and print it: it is shown this once."""
    body = {"name": name, "role": role, "expires_in_seconds": seconds(expires_in), "tenant": tenant}
    with connected(target) as client:
        made = client.post("/tokens", body)
    if as_json:
        render.print_json(made)
        return
    click.echo(made["token"])
    until = f"until {made['expires_at'][:10]}" if made["expires_at"] else "until it is revoked"
    click.echo(f"{role} of {made['tenant']} {until}; keep it now, it is not shown again ({made['id'][:8]})", err=True)


@token.command("list")
@json_option
@target_options
def list_(*, target: Target, as_json: bool) -> None:
    """List the tokens, newest first."""
    with connected(target) as client:
        found = list(client.items("/tokens"))
    if as_json:
        render.print_json(found)
        return
    rows = [
        (
            each["name"],
            each["role"],
            "revoked" if each["revoked_at"] else f"until {each['expires_at'][:10]}" if each["expires_at"] else "for good",
            each["last_used_at"][:13].replace("T", " ") + " h" if each["last_used_at"] else "never",
            each["id"][:8],
        )
        for each in found
    ]
    text = render.table(("NAME", "ROLE", "LIVES", "LAST USED", "ID"), rows)
    click.echo(text or "no tokens", err=not text)


@token.command()
@click.argument("name", metavar="TOKEN")
@target_options
def revoke(*, target: Target, name: str) -> None:
    """Revoke TOKEN (a name, or a prefix of an id) at once."""
    with connected(target) as client:
        living = [each for each in client.items("/tokens") if not each["revoked_at"]]
        found = [each for each in living if name == each["name"] or (len(name) >= 4 and each["id"].startswith(name))]
        if not found:
            raise usage(f'no living token is called "{name}"', "ledgermill token list")
        if len(found) > 1:
            raise usage(f'"{name}" may mean {", ".join(each["id"] for each in found)}', "write the id")
        client.delete(f"/tokens/{found[0]['id']}")
    click.echo(f"{found[0]['name']} is revoked", err=True)


def seconds(text: str) -> int | None:
    """A length of time; None for "never"."""
    if text == "never":
        return None
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        raise usage(f'"{text}" is no length of time', "write it as 90d, 12h, 30m, 60s or never")
    return int(found[1]) * SECONDS[found[2]]
