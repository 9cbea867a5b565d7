"""Changing the data key beside running work: a new key, and every row sealed again under it, in portions.

Each portion is a transaction of its own; rows that somebody holds come later; cut off anywhere, `--continue` goes on.
A process that runs seals under the key that it knows until it looks again (`LOOK_SECONDS`), so old keys go on opening,
and a row that was written meanwhile is sealed again by the next turn.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import func, select, update

from backoffice import audit
from backoffice.background import Services, background
from backoffice.context import SYSTEM, Context
from backoffice.database import Database, rows_of
from backoffice.privacy.keyring import Keyring, Sealed
from backoffice.privacy.rows import SEALED

PORTION: Final = 200
LOOK_SECONDS: Final = 30.0


@background("keys", every_s=LOOK_SECONDS)
async def look_again(services: Services) -> bool:
    """Let this process seal under the newest key."""
    if services.keyring is not None:
        async with services.database.transaction() as connection:
            await services.keyring.refresh(connection)
    return False


async def left(context: Context, key_id: int) -> int:
    """How many rows are under other keys."""
    total = 0
    for table, _ in SEALED.values():
        query = select(func.count()).select_from(table).where(table.c.key_id != key_id)
        total += int(await context.connection.scalar(query) or 0)
    return total


async def portion(context: Context, name: str, key_id: int, behind: int) -> tuple[int, int | None]:
    """Seal some rows of a table again; give how many, and the last one's number (None: there are no more)."""
    table, place_of = SEALED[name]
    (column,) = table.primary_key.columns
    query = (
        select(table)
        .where(table.c.key_id != key_id, column > behind)
        .order_by(column)
        .limit(PORTION)
        .with_for_update(skip_locked=True, key_share=True)
    )
    rows = rows_of(await context.connection.execute(query))
    for row in rows:
        place = place_of(row)
        clear = await context.keyring.open_bytes(context.connection, place, Sealed(row["key_id"], row["sealed"]))
        sealed = context.keyring.seal_bytes(place, clear)
        again = {"key_id": sealed.key_id, "sealed": sealed.data}
        await context.connection.execute(update(table).where(column == row[column.name]).values(**again))
    return len(rows), rows[-1][column.name] if rows else None


async def rotate(
    database: Database, keyring: Keyring, told: Callable[[int, int], None], *, go_on: bool = False
) -> tuple[int, int]:
    """Make a new key (`go_on`: finish with the newest) and seal everything under it; `told` hears (done, of).

    Give the key's number and how many rows were sealed again.
    """
    async with database.transaction() as connection:
        context = Context(connection, SYSTEM, keys=keyring)
        await keyring.prepare(connection)
        if not go_on:
            number = await keyring.add(connection)
            await audit.record(context, "keys.rotate", f"key:{number}")
    async with database.transaction() as connection:
        key_id = await keyring.refresh(connection)
        total = await left(Context(connection, SYSTEM, keys=keyring), key_id)
    done = 0
    told(done, total)
    while True:
        for name in SEALED:
            behind: int | None = -1
            while behind is not None:
                async with database.transaction() as connection:
                    count, behind = await portion(Context(connection, SYSTEM, keys=keyring), name, key_id, behind)
                done += count
                told(done, max(done, total))
        async with database.transaction() as connection:
            if not await left(Context(connection, SYSTEM, keys=keyring), key_id):
                return key_id, done
