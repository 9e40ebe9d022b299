"""The tree behind the append: it survives whatever is lost, and nothing is signed that does not continue what was."""

import logging
import random

from domain.transparency.checkpoints import opened
from infra.checkpoint_directory import CheckpointDirectory
from infra.signatures import is_signed
from projections.transparency import proofs, tables
from tests.projections.transparency.conftest import Kept, rows_of


async def test_checkpoints_come_after_so_many_events_and_at_the_end(kept: Kept) -> None:
    """Each signed, in order, outside as in the database; the entries outside are those of all rows."""
    chance = random.Random(3)
    async with kept.growing(events_max=20):
        await kept.append(chance, 60)
        await kept.signed()
        await kept.append(chance, 40)
    notes = [opened(each, None, kept.outside.keys(), is_signed) for each in kept.outside.notes()]
    sizes = [each.size for each in notes]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == 100
    assert len(sizes) >= 2
    connection = await kept.connection()
    rows = await rows_of(connection)
    assert [each.position for each in notes] == [rows[size - 1][0] for size in sizes]
    assert [each.note for each in await tables.checkpoints(connection, None, 100)] == kept.outside.notes()[::-1]
    assert (kept.path / "checkpoint").read_text() == kept.outside.notes()[-1]
    stored = b"".join([content async for _, content in tables.entries(connection, 0)])
    assert b"".join(kept.outside.entries(0)) == stored
    await connection.close()


async def test_a_checkpoint_comes_after_so_many_seconds(kept: Kept) -> None:
    """Where fewer events came; without new events there is none."""
    async with kept.growing(events_max=1000, seconds_max=0.05):
        await kept.append(random.Random(3), 5)
        await kept.signed()
    first = kept.outside.notes()
    async with kept.growing(seconds_max=0.05):
        pass
    assert kept.outside.notes() == first


async def test_the_tree_grows_anew_under_its_name_when_it_was_dropped(kept: Kept) -> None:
    """It arrives where it was, so that signing goes on."""
    chance = random.Random(4)
    await kept.append(chance, 300)
    async with kept.growing():
        pass
    before = kept.outside.notes()
    connection = await kept.connection()
    root = await proofs.root(connection, 300)
    await connection.execute("drop schema transparency cascade")
    async with kept.growing():
        pass
    assert await proofs.root(connection, 300) == root
    assert kept.outside.notes() == before
    await kept.append(chance, 1)
    async with kept.growing():
        pass
    *_, last = (opened(each, None, kept.outside.keys(), is_signed) for each in kept.outside.notes())
    assert (last.size, last.origin) == (301, await tables.origin(connection))
    await connection.close()


async def test_a_log_that_was_written_anew_gets_no_signature(kept: Kept, caplog) -> None:
    """Although rows and tree agree, and more was appended since; nor does one that was cut off."""
    chance = random.Random(5)
    await kept.append(chance, 100)
    async with kept.growing():
        pass
    signed = kept.outside.notes()
    connection = await kept.connection()
    position = (await rows_of(connection))[40][0]
    await connection.execute("alter table public.events_0 disable trigger all")
    await connection.execute("update public.events_0 set topic = 'JobStarted.v1' where notification_id = %s", (position,))
    await connection.execute("drop schema transparency cascade")
    await kept.append(chance, 50)
    with caplog.at_level(logging.ERROR, "ledgermill.tree"):
        async with kept.growing():
            pass
    assert kept.outside.notes() == signed
    assert "no checkpoint is signed: the log up to position" in caplog.text
    caplog.clear()
    await connection.execute("delete from public.events_0 where notification_id >= %s", (position,))
    await connection.execute("drop schema transparency cascade")
    with caplog.at_level(logging.ERROR, "ledgermill.tree"):
        async with kept.growing():
            pass
    assert kept.outside.notes() == signed
    assert "100 events, up to position" in caplog.text
    await connection.close()


async def test_what_a_crash_left_half_written_outside_is_written_over(kept: Kept) -> None:
    """Half a checkpoint, entries that were never signed, entries that are missing."""
    chance = random.Random(6)
    await kept.append(chance, 60)
    async with kept.growing():
        pass
    whole = (kept.path / "checkpoints").read_text()
    first = kept.outside.notes()
    for torn in (whole[:20], whole[:-1]):
        (kept.path / "checkpoints").write_text("".join(f"{each}\n" for each in first) + torn)
        with (kept.path / "entries").open("ab") as file:
            file.write(b"x" * 100)
        await kept.append(chance, 3)
        again = CheckpointDirectory(kept.path)
        kept.outside = again
        async with kept.growing():
            pass
        first = [*first, *again.notes()[len(first) :]]
        assert again.notes() == first
    (kept.path / "entries").write_bytes(b"")
    await kept.append(chance, 3)
    async with kept.growing():
        pass
    connection = await kept.connection()
    assert b"".join(kept.outside.entries(0)) == b"".join([content async for _, content in tables.entries(connection, 0)])
    assert len(kept.outside.notes()) == len(first) + 1 == 4
    await connection.close()
