"""All settings in one Struct: `LEDGERMILL_*` environment variables over a TOML file over the defaults here."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from domain.egress import Network, networks


def _says(description: str) -> msgspec.Meta:
    return msgspec.Meta(description=description)


def default_data_directory() -> Path:
    """`$XDG_STATE_HOME/ledgermill`, by default `~/.local/state/ledgermill`."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "ledgermill"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set. The name of a field in upper case after `LEDGERMILL_` is its environment variable."""

    data: Annotated[Path, _says("The data directory: servers, blobs, logs, tokens; mode 0700.")] = msgspec.field(
        default_factory=default_data_directory
    )
    host: Annotated[str, _says("The address to listen on. Any other than loopback needs TLS.")] = "127.0.0.1"
    port: Annotated[int, _says("The port; the next free one when it is taken.")] = 7300
    database_url: Annotated[str | None, _says("A Postgres of your own (17 or newer) instead of the embedded one.")] = None
    nats_url: Annotated[str | None, _says("A NATS server of your own with JetStream instead of the embedded one.")] = None
    public_url: Annotated[str | None, _says("The URL under which runners and people reach the gateway.")] = None
    tls_cert: Annotated[Path | None, _says("The certificate chain, PEM.")] = None
    tls_key: Annotated[Path | None, _says("Its private key, PEM.")] = None
    tls_client_ca: Annotated[Path | None, _says("The authority whose client certificates are asked for, PEM; none: nobody is asked.")] = (
        None
    )
    lease_ttl_seconds: Annotated[float, _says("How long a job's lease lives without a heartbeat.")] = 30
    heartbeat_seconds: Annotated[float, _says("How often runners renew their leases.")] = 10
    accept_window_seconds: Annotated[float, _says("How long a runner may take from acquiring a job to starting it.")] = 120
    offline_seconds: Annotated[float, _says("How long a job may outlive its lease while the control plane is away.")] = 600
    untrusted_values: Annotated[
        Literal["warn", "deny"], _says("What becomes of a workflow whose script pastes a value that a stranger may have written.")
    ] = "warn"
    webhook_secret: Annotated[
        str | None, _says("The secret of webhooks of repositories without one of their own; two, with a blank between, during a rotation.")
    ] = None
    forge_tokens: Annotated[
        Path | None, _says("A directory with the tokens of forges, a file `TENANT/HOST` each: commits there get the statuses of runs.")
    ] = None
    pg_bin: Annotated[Path | None, _says("The directory with initdb and postgres for the embedded server.")] = None
    actions_from: Annotated[
        Path | None, _says("A directory of clones, `owner/repository` each: called workflows of others come from there first.")
    ] = None
    checkpoint_events: Annotated[int, _says("After how many events a checkpoint of the log is signed.")] = 1000
    checkpoint_seconds: Annotated[float, _says("After how many seconds at most, where there was an event.")] = 10
    checkpoint_directory: Annotated[
        Path | None,
        _says("Where checkpoints are kept outside the database; default: `audit` in the data directory. Best another machine's."),
    ] = None
    checkpoint_key: Annotated[
        Path | None, _says("The Ed25519 key that signs them, PEM; made when missing. Default: in the data directory.")
    ] = None
    allowed_networks: Annotated[
        str,
        _says(
            "Networks that the server connects to because a user says so, although they are not public: hosts of repositories and of"
            " subscriptions. A comma list, e.g. `10.0.0.0/8, fd00::/8`."
        ),
    ] = ""
    clone_credentials: Annotated[Path | None, _says("A TOML file that says by which tokens private repositories are fetched.")] = None
    feed: Annotated[Literal["postgres", "jetstream"], _says("Where consumers get their pages of events from first.")] = "postgres"

    @property
    def networks(self) -> tuple[Network, ...]:
        """The allowed networks."""
        return networks(self.allowed_networks)

    def __post_init__(self) -> None:
        """Refuse networks that cannot be read before anything is started. Raises ValueError."""
        networks(self.allowed_networks)


def load(environ: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """Read the settings. Raises msgspec.ValidationError with the name of what cannot be read."""
    values: dict[str, object] = {}
    if file is not None and file.exists():
        import tomllib  # noqa: PLC0415 - few have such a file, and every `lint` would pay for it

        values.update(tomllib.loads(file.read_text()))
    for name in Settings.__struct_fields__:
        value = (environ if environ is not None else os.environ).get(f"LEDGERMILL_{name.upper()}")
        if value is not None:
            values[name] = value
    return msgspec.convert(values, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
