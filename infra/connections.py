"""Connections to the store: one way to open them, so that every one has its limits and its name.

A statement, a lock or a transaction left open may stop the whole shard, so each has a time limit at the server. The
name (`application_name`) is unique a connection: after a lost connection it finds the old session and ends it.
"""

import errno
import os
import secrets
import select
from typing import Any

import psycopg

from domain.ports import StoreSilent, StoreUnavailable
from infra import arrays

LIMITS = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
}
SOCKET: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 15_000}

AWAY = (os.strerror(errno.ECONNREFUSED), os.strerror(errno.ENOENT), "the database system is ")
"""What is said where no server is, and by one that starts or ends: nobody can reach the database then."""

ENDING = frozenset({"57P01", "57P02", "57P03"})
"""SQLSTATE of a server that ends its sessions, or takes none yet."""

Connection = psycopg.AsyncConnection[Any]


def session_name(role: str) -> str:
    """A name for one connection of `role` ("appender", "reader", "listener")."""
    return f"ledgermill {role} {secrets.token_hex(6)}"


async def connect(database_url: str, session: str) -> Connection:
    """An autocommit connection under the name `session`. Raises StoreUnavailable."""
    options = " ".join(f"-c {key}={value}" for key, value in LIMITS.items())
    try:
        connection = await psycopg.AsyncConnection.connect(
            database_url, autocommit=True, application_name=session, options=options, connect_timeout=5, **SOCKET
        )
    except psycopg.Error as error:
        raise unavailable(error) from error
    arrays.register(connection.adapters)
    return connection


def alive(connection: Connection) -> bool:
    """Whether an idle connection still stands, as far as this side can know without a round trip.

    A server that went away while nothing was asked has left its goodbye in the socket; seen before a statement is sent,
    it spares the question whether that statement was executed.
    """
    socket = select.poll()
    try:
        socket.register(connection.fileno(), select.POLLIN)
        while socket.poll(0):
            connection.pgconn.consume_input()
    except psycopg.OperationalError:
        return False
    return not connection.closed


def unavailable(error: Exception) -> StoreUnavailable:
    """The error of the port for a driver's error: what happened, and what helps."""
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    match error:
        case psycopg.errors.DiskFull():
            return StoreUnavailable(
                f"STO001: the database has no space left ({said}). Nothing was written. Help: free space on the database's"
                " disk; appends go on by themselves as soon as there is some."
            )
        case psycopg.errors.LockNotAvailable() | psycopg.errors.QueryCanceled():
            return StoreUnavailable(
                f"STO002: the database did not answer within its time limit ({said}). Nothing was written. Help: look for a"
                " session that holds a lock; pg_stat_activity shows them, xact_start tells the oldest."
            )
        case psycopg.errors.ReadOnlySqlTransaction():
            return StoreSilent(
                f"STO003: the database is read-only ({said}). Nothing was written. Help: the database URL names a standby;"
                " give it the primary, or add target_session_attrs=read-write."
            )
        case psycopg.errors.InsufficientPrivilege():
            return StoreSilent(
                f"STO004: the database role may not do this ({said}). Help: run once as the owner of the tables, or grant"
                " the role execute on the append functions."
            )
        case psycopg.OperationalError() | psycopg.InterfaceError():
            away = error.sqlstate in ENDING or any(text in str(error) for text in AWAY)
            return (StoreUnavailable if away else StoreSilent)(
                f"STO005: the database cannot be reached ({said}). Help: check that it runs and that the database URL is"
                " right; work goes on by itself when it is back."
            )
        case _:
            return StoreUnavailable(
                f"STO009: the database refused the statement ({said}). Help: check that its tables were made by this version"
                " or an older one; log_migrations lists them."
            )
