"""The audit log: one chain under concurrency, and nothing is changed without being noticed."""

import asyncio

import asyncpg
import pytest

from backoffice import audit
from backoffice.context import SYSTEM, Context
from tests.backoffice.conftest import Office


async def fill(office: Office, count: int) -> None:
    async def one(number: int) -> None:
        async with office.database.transaction() as connection:
            await audit.record(Context(connection, SYSTEM), "test.entry", f"thing:{number}", {"number": number})

    await asyncio.gather(*(one(number) for number in range(count)))


async def verdict(office: Office) -> audit.Verdict:
    async with office.database.transaction() as connection:
        return await audit.verify(connection)


async def test_entries_of_many_at_once_are_one_chain(office: Office) -> None:
    before = (await verdict(office)).entries
    await fill(office, 30)
    assert await verdict(office) == audit.Verdict(before + 30)


async def test_what_is_undone_leaves_no_entry(office: Office) -> None:
    before = await verdict(office)

    async def undone() -> None:
        async with office.database.transaction() as connection:
            await audit.record(Context(connection, SYSTEM), "test.entry", "thing")
            raise RuntimeError("undo")

    with pytest.raises(RuntimeError, match="undo"):
        await undone()
    assert await verdict(office) == before


@pytest.mark.parametrize(
    "statement",
    ["UPDATE office.audit_log SET detail = '{}'", "DELETE FROM office.audit_log", "TRUNCATE office.audit_log"],
)
async def test_sql_cannot_change_it(office: Office, statement: str) -> None:
    await fill(office, 2)
    connection = await asyncpg.connect(office.dsn)
    with pytest.raises(asyncpg.RaiseError, match="never changed or deleted"):
        await connection.execute(statement)
    await connection.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE office.audit_log SET detail = '{\"number\":7}' WHERE entry = $1", "has been changed"),
        ("UPDATE office.audit_log SET at = at + interval '1 microsecond' WHERE entry = $1", "has been changed"),
        (
            "UPDATE office.audit_log SET user_name = 'syste', action = 'mtest.entry' WHERE entry = $1",
            "has been changed",
        ),
        ("DELETE FROM office.audit_log WHERE entry = $1", "is missing"),
        ("DELETE FROM office.audit_log WHERE entry >= $1", "are missing: there were"),
        ("UPDATE office.audit_log SET hash = previous_hash WHERE entry = $1", "has been changed"),
    ],
)
async def test_who_gets_around_the_triggers_is_found(office: Office, statement: str, words: str) -> None:
    await fill(office, 6)
    connection = await asyncpg.connect(office.dsn)
    await connection.execute("SET session_replication_role = replica")  # a superuser can; triggers sleep
    await connection.execute(statement, 4)
    await connection.close()
    found = await verdict(office)
    assert words in found.fault
    assert found.entries == 3
