"""TLS for real: a runner and the verbs against a server with a certificate, and who does not believe whom."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from gateway.cli.main import cli
from gateway.serving import Tls
from runner import assertions, wire
from runner.client import Client
from runner.clock import StoreClock
from runner.lease_keeper import Gateway as Place
from runner.lease_keeper import LeaseKeeper, Terms
from runner.problems import Distrusted, Unanswered
from runner.server import Server, tls
from tests.authority import Authority
from tests.gateway.conftest import Gateway, serving

PROMPT_SECONDS = 60


@asynccontextmanager
async def secured(postgres_url: str, folder: Path, *, clients: Authority | None = None) -> AsyncIterator[tuple[Gateway, Authority]]:
    """A gateway with a certificate for 127.0.0.1; clients: whose certificates it asks for."""
    authority = Authority(folder / "ca", "authority")
    certificate, key = authority.certificate("127.0.0.1")
    async with serving(postgres_url, folder / "data", Tls(certificate, key, clients.file if clients else None)) as gateway:
        connector = aiohttp.TCPConnector(ssl=tls(gateway.url, authority.file) or True)
        async with aiohttp.ClientSession(connector=connector) as gateway.session:
            yield gateway, authority


def client(gateway: Gateway, *files: Path, url: str | None = None) -> Client:
    """A runner's client with the shared token. files: authority, certificate, key."""
    place = url or gateway.url
    return Client(Server(place, lambda: gateway.tokens["runner"], tls(place, *files)), StoreClock())


async def register(made: Client) -> wire.Registered:
    """One request."""
    async with made, asyncio.timeout(PROMPT_SECONDS):
        return await made.register(wire.Register(registration="r", name="r", labels=("linux",), slots=1))


async def test_a_runner_works_over_tls(postgres_url: str, tmp_path: Path) -> None:
    """Register, poll, a big batch of lines, a heartbeat from the keeper's thread: each by the given authority."""
    async with secured(postgres_url, tmp_path) as (gateway, authority), client(gateway, authority.file) as runner:
        registered = await runner.register(wire.Register(registration="r", name="r", labels=("linux",), slots=1))
        context = tls(gateway.url, authority.file)
        poll = asyncio.ensure_future(runner.acquire(wire.Acquire(runner=registered.runner, free_slots=1, wait_seconds=20)))
        await gateway.run()
        job = (await poll).leases[0].message
        fence: dict[str, Any] = {"runner": registered.runner, "attempt": job.attempt, "epoch": job.epoch, "lease": job.lease}
        await runner.start(job.job, wire.Start(**fence))
        at = datetime.now(UTC)
        lines = tuple(wire.Line(line=n, step=0, at=at, stream="stdout", text="x" * 4000) for n in range(1, 501))
        assert (await runner.logs(job.job, wire.Logs(lines=lines, **fence))).received_through == 500
        renewed = asyncio.Event()
        loop = asyncio.get_running_loop()
        keeper = LeaseKeeper(
            gateway=Place(Server(gateway.url, lambda: gateway.tokens["runner"], context), StoreClock()),
            path=f"/jobs/{job.job}/renew",
            message=wire.Renew(**fence),
            until=loop.time() + 1000,
            terms=Terms(lease=30, heartbeat=0.05, offline=0),
            on_renewed=lambda _until: loop.call_soon_threadsafe(renewed.set),
            on_orders=lambda _orders: None,
            on_lost=lambda _reason: None,
        )
        keeper.start()
        async with asyncio.timeout(PROMPT_SECONDS):
            await renewed.wait()
        keeper.stop()
        await asyncio.to_thread(keeper.thread.join)


async def test_a_runner_does_not_talk_to_a_server_that_it_cannot_check(postgres_url: str, tmp_path: Path) -> None:
    """No authority, another one, another name: each is told with what to do, and nothing was sent."""
    other = Authority(tmp_path / "other", "other")
    async with secured(postgres_url, tmp_path) as (gateway, authority):
        by_name = gateway.url.replace("127.0.0.1", "localhost")
        for made in (client(gateway), client(gateway, other.file), client(gateway, authority.file, url=by_name)):
            with pytest.raises(Distrusted, match=r"certificate is not trusted here.*--ca-file"):
                await register(made)
        assert (await register(client(gateway, authority.file))).runner
        code, said = await agent(gateway, tmp_path, "--ca-file", str(other.file))
        assert (code, "RNR004" in said, "--ca-file" in said) == (4, True, True)


async def test_a_server_that_asks_for_certificates_takes_no_others(postgres_url: str, tmp_path: Path) -> None:
    """None, one of another authority: refused with what to do; its own authority's: served, heartbeats and verbs too."""
    trusted, other = Authority(tmp_path / "clients", "clients"), Authority(tmp_path / "other", "other")
    async with secured(postgres_url, tmp_path, clients=trusted) as (gateway, authority):
        for files in ((), other.certificate("runner")):
            with pytest.raises((Distrusted, Unanswered), match="may trust only clients with a certificate of its authority"):
                await register(client(gateway, authority.file, *files))
        mine = trusted.certificate("runner")
        assert (await register(client(gateway, authority.file, *mine))).runner
        code, said = await agent(gateway, tmp_path, "--ca-file", str(authority.file))
        assert (code, "--cert-file" in said) == (4, True)


async def agent(gateway: Gateway, folder: Path, *arguments: str) -> tuple[int, str]:
    """A runner's process that cannot begin: its exit code and what it says."""
    token = folder / "runner-token"
    token.write_text(gateway.tokens["runner"])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runner", "--url", gateway.url, "--token-file", str(token), "--work", str(folder / "work"), *arguments,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(PROMPT_SECONDS):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_the_verbs_reach_a_server_elsewhere_and_register_this_machine(postgres_url: str, tmp_path: Path) -> None:
    """`token create`, `runner token`, `runner register`, `runner list`, over TLS; without the authority they say what is missing."""
    async with secured(postgres_url, tmp_path) as (gateway, authority):
        file = tmp_path / "token"
        file.write_text(gateway.tokens["admin"])
        place = ["--server", gateway.url, "--token-file", str(file)]
        trusted = [*place, "--ca-file", str(authority.file)]
        refused = await verb("token", "list", *place)
        assert (refused.exit_code, "API003" in refused.output, "--ca-file" in refused.output) == (4, True, True)
        made = await verb("token", "create", "ci", "--role", "maintainer", *trusted)
        assert made.exit_code == 0, made.output
        file.write_text(made.stdout)
        registration = await verb("runner", "token", "--labels", "gpu, big", *trusted)
        assert registration.exit_code == 0, registration.output
        (tmp_path / "registration").write_text(registration.stdout)
        work = tmp_path / "box"
        register = ["runner", "register", "--url", gateway.url, "--token-file", str(tmp_path / "registration"), "--name", "box"]
        joined = await verb(*register, "--work", str(work), "--ca-file", str(authority.file))
        assert joined.exit_code == 0, joined.output
        credential = work / "credential.json"
        assert credential.stat().st_mode & 0o777 == 0o600
        kept = assertions.read(credential)
        assert (kept.url, set(kept.labels) >= {"gpu", "big"}, kept.ca_file) == (gateway.url, True, str(authority.file))
        again = await verb(*register, "--work", str(tmp_path / "second"), "--ca-file", str(authority.file))
        assert (again.exit_code, "registration_used" in again.output) == (1, True)
        listed = await verb("runner", "list", *trusted)
        assert "box" in listed.stdout


async def verb(*arguments: str) -> Any:
    """The command line, in a thread: the server answers in this one."""
    from gateway.cli.errors import CliError

    def called() -> Any:
        result = CliRunner().invoke(cli, arguments)
        if isinstance(result.exception, CliError):
            result.exit_code = int(result.exception.exit_code)
            result.output_bytes = result.exception.render().encode()
        return result

    return await asyncio.to_thread(called)
