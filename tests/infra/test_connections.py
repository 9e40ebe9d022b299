"""What a driver's error means: away for everybody, or only from here."""

import psycopg
import pytest
from psycopg import errors

from domain.ports import StoreSilent, StoreUnavailable
from gateway.problems import from_exception
from infra.connections import connect, session_name, unavailable
from tests.proxy import Proxy


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConnectionTimeout("connection timeout expired"), "STO005"),
        (psycopg.OperationalError("failed to resolve host"), "STO005"),
        (psycopg.OperationalError("FATAL:  sorry, too many clients already"), "STO005"),
        (errors.ReadOnlySqlTransaction("cannot execute INSERT"), "STO003"),
        (errors.InsufficientPrivilege("permission denied"), "STO004"),
    ],
    ids=["no answer", "no such host", "full", "a standby", "no right"],
)
def test_what_concerns_only_this_process_is_silence_to_a_runner(error: psycopg.Error, code: str) -> None:
    """Others may be at work with the database, so nobody may count on its being away."""
    found = unavailable(error)
    assert isinstance(found, StoreSilent)
    assert code in str(found)
    told = from_exception(found).problem
    assert (told.status, told.code, told.retryable) == (504, "store_unavailable", True)


@pytest.mark.parametrize(
    "error",
    [
        errors.AdminShutdown("terminating connection due to administrator command"),
        errors.CrashShutdown("terminating connection because of crash of another server process"),
        psycopg.OperationalError("connection failed: FATAL:  the database system is starting up"),
        errors.DiskFull("could not extend file"),
        errors.LockNotAvailable("canceling statement due to lock timeout"),
    ],
    ids=["ends", "crashes", "starts", "disk full", "locked"],
)
def test_what_concerns_everybody_is_a_refusal(error: psycopg.Error) -> None:
    """Nobody can write, and whoever comes back first extends every lease."""
    found = unavailable(error)
    assert not isinstance(found, StoreSilent)
    assert from_exception(found).problem.status == 503


async def test_where_no_server_is_everybody_is_refused(wire: Proxy) -> None:
    """As the system says it: no socket, nobody behind it."""
    for url in (wire.url, "postgresql://somebody@127.0.0.1:1/nowhere"):
        await wire.down()
        with pytest.raises(StoreUnavailable, match="STO005") as refused:
            await connect(url, session_name("test"))
        assert not isinstance(refused.value, StoreSilent)
