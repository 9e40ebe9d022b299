"""Brings a shard's tables to the newest form: numbered plain SQL files, each applied once, in order.

Processes that start together serialise on an advisory lock, and one that finds nothing to do only reads. A released
file is never edited; what changes comes as the next number, in a form with which the previous release goes on working
(tests/compat): what only that one needs is taken away a release later. SQL of views lives beside the views, not here.
"""

from importlib import resources

import psycopg

MIGRATION_LOCK = 7301


async def migrate(connection: psycopg.AsyncConnection[object], shard: int) -> None:
    """Apply what is missing for `shard`. The connection must be in autocommit mode.

    Raises psycopg.errors.InsufficientPrivilege when the role may not create tables in schema public.
    """
    files = sorted(
        (file for file in resources.files("infra").joinpath("sql").iterdir() if file.name.endswith(".sql")), key=lambda f: f.name
    )
    if {file.name for file in files} <= await _applied(connection, shard):
        return
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        await connection.execute(
            "create table if not exists public.log_migrations (shard int, number int, name text not null,"
            " applied_at timestamptz not null default now(), primary key (shard, number))"
        )
        done = await _applied(connection, shard)
        for file in files:
            if file.name in done:
                continue
            await connection.execute(file.read_text().replace("{shard}", str(int(shard))).encode())
            await connection.execute(
                "insert into public.log_migrations (shard, number, name) values (%s, %s, %s)",
                (shard, int(file.name.partition("_")[0]), file.name),
            )
        await _join_shards(connection)


async def _applied(connection: psycopg.AsyncConnection[object], shard: int) -> set[str]:
    """The names of the files that this shard has, none on an empty database."""
    cursor = connection.cursor(row_factory=psycopg.rows.scalar_row)
    await cursor.execute("select to_regclass('public.log_migrations') is not null")
    if not await cursor.fetchone():
        return set()
    await cursor.execute("select name from public.log_migrations where shard = %s", (shard,))
    return {str(name) for name in await cursor.fetchall()}


async def _join_shards(connection: psycopg.AsyncConnection[object]) -> None:
    """One readable view over the shards of this database."""
    cursor = connection.cursor(row_factory=psycopg.rows.scalar_row)
    await cursor.execute("select distinct shard from public.log_migrations order by shard")
    parts = " union all ".join(f"select * from public.events_json_{int(shard)}" for shard in await cursor.fetchall())  # noqa: S608 - integers
    await connection.execute(f"create or replace view public.events_json as {parts}".encode())
    await cursor.execute("select count(*) from pg_roles where rolname = 'ledgermill_app'")
    if await cursor.fetchone():
        await connection.execute("grant select on public.log_migrations, public.events_json to ledgermill_app")
