"""Sealed rows: each bound to its table and number, and registered so that rotation finds it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Table, text

from backoffice.context import Context
from backoffice.privacy.keyring import Sealed

Place = Callable[[Mapping[str, Any]], str]
SEALED: Final[dict[str, tuple[Table, Place]]] = {}
"""Tables with the columns `key_id` and `sealed` beside a numeric primary key, and the place of each row."""


def sealed_table(table: Table, place: Place | None = None) -> Table:
    """Register a table; the place is `table:number` unless said otherwise."""
    (column,) = table.primary_key.columns
    SEALED[table.name] = table, place or (lambda row: f"{table.name}:{row[column.name]}")
    return table


async def next_number(context: Context, table: Table) -> int:
    """Take the number of a row before it is inserted: what is sealed is bound to it."""
    (column,) = table.primary_key.columns
    names = {"table": f"office.{table.name}", "column": column.name}
    found = await context.connection.scalar(text("SELECT nextval(pg_get_serial_sequence(:table, :column))"), names)
    return int(found or 0)


def seal(context: Context, table: Table, number: int, clear: bytes) -> dict[str, Any]:
    """Seal a row's content; give its columns."""
    sealed = context.keyring.seal_bytes(f"{table.name}:{number}", clear)
    return {"key_id": sealed.key_id, "sealed": sealed.data}


async def opened(context: Context, table: Table, number: int, row: Mapping[str, Any]) -> bytes:
    """Open a row's content. Raises KeyFaultError when it was changed, or sealed for another row."""
    place = f"{table.name}:{number}"
    return await context.keyring.open_bytes(context.connection, place, Sealed(row["key_id"], row["sealed"]))
