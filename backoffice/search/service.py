"""Searching customers in any combination of dimensions, and keeping what is searched in.

The database narrows down by what is not personal and by keyed hashes of parts of names; what it finds is opened and
looked at, so that nothing is shown that does not fit. Pages are asked for by the place behind the last row.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.elements import ColumnElement

from backoffice.context import Context
from backoffice.customers import identity
from backoffice.customers import service as customers
from backoffice.customers.fields import Fields
from backoffice.customers.hooks import ON_CHANGE
from backoffice.customers.tables import customers as rows
from backoffice.database import rows_of
from backoffice.problems import invalid
from backoffice.search import tokens
from backoffice.search.tables import customer_search as table

SORTS: Final = {
    "newest": (table.c.customer_id, True),
    "oldest": (table.c.customer_id, False),
    "deposits": (table.c.deposits_minor, True),
    "investments": (table.c.investments_minor, True),
    "loans": (table.c.loans_minor, True),
}
"""Column, and whether the greatest comes first. By name one cannot sort: the database does not know names."""
EQUAL: Final = ("kind", "status", "branch", "manager", "industry", "grade", "risk_level")
COPIED: Final = (
    "customer_id", "kind", "status", "branch", "region", "manager", "industry", "birth_year", "risk_level", "grade",
    "tags", "certificate_index", "phone_index", "email_index",
)  # fmt: skip
OVERLAP: Final = timedelta(seconds=60)
CHUNK: Final = 4
"""How many times the page is fetched at once where parts of names may find what does not fit."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. Ranges are (least, most), either None; amounts in minor units of CNY."""

    text: str = ""
    equal: Mapping[str, Any] = field(default_factory=dict)
    region: str = ""
    """A code finds everything in it: 4101 all of Zhengzhou."""
    tags: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict)
    certificate: str = ""
    phone: str = ""
    email: str = ""
    sort: str = "newest"


async def find(
    context: Context, query: Query, place: tuple[int, int] | None, limit: int
) -> tuple[list[dict[str, Any]], tuple[int, int] | None]:
    """Give a page of customers, masked, with their figures, and the place of the next page (None at the end)."""
    conditions = _conditions(context, query)
    if conditions is None:
        return [], None
    column, down = SORTS[query.sort]
    found: list[dict[str, Any]] = []
    portion = limit * CHUNK if query.text else limit + 1
    while True:
        statement = select(rows, table.c.products, table.c.deposits_minor, table.c.investments_minor,
                           table.c.loans_minor, table.c.figures_at).join(
            table, table.c.customer_id == rows.c.customer_id
        ).where(*conditions)  # fmt: skip
        if place is not None:
            key = tuple_(column, table.c.customer_id)
            statement = statement.where(key < place if down else key > place)
        order = (column.desc(), table.c.customer_id.desc()) if down else (column, table.c.customer_id)
        portion_rows = rows_of(await context.connection.execute(statement.order_by(*order).limit(portion)))
        for row in portion_rows:
            if len(found) == limit:
                return found, place
            fields = await customers.open_fields(context, row)
            if not query.text or tokens.fits(fields.name, query.text):
                found.append(_shown(row, fields))
                place = (row[column.name], row["customer_id"])
        if len(portion_rows) < portion:
            return found, None
        last = portion_rows[-1]
        place = (last[column.name], last["customer_id"])


def _shown(row: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    masked = fields.masked(row["kind"])
    names = ("customer_id", "kind", "status", "branch", "region", "tags", "risk_level", "grade", "products",
             "deposits_minor", "investments_minor", "loans_minor", "figures_at")  # fmt: skip
    return {name: row[name] for name in names} | {"name": masked["name"], "phone": masked["phone"]}


def _conditions(context: Context, query: Query) -> list[ColumnElement[bool]] | None:
    """Give the conditions; None for a text that no name can have."""
    if query.sort not in SORTS:
        raise invalid("sort", f"{query.sort!r} is none of {', '.join(SORTS)}")
    found: list[ColumnElement[bool]] = [table.c[name] == value for name, value in query.equal.items()]
    if query.region:
        found.append(table.c.region.like(query.region + "%"))
    if query.tags:
        found.append(table.c.tags.contains(list(query.tags)))
    if query.products:
        found.append(table.c.products.contains(list(query.products)))
    for name, (least, most) in query.ranges.items():
        if least is not None:
            found.append(table.c[name] >= least)
        if most is not None:
            found.append(table.c[name] <= most)
    keyring = context.keyring
    for name, check in (("phone", identity.phone), ("email", identity.email)):
        given = getattr(query, name)
        if given:
            try:
                found.append(table.c[f"{name}_index"] == keyring.blind(name, check(given).lower()))
            except ValueError as error:
                raise invalid(name, str(error)) from None
    if query.certificate:
        number = query.certificate.replace(" ", "").upper()
        indexes = [keyring.blind(f"certificate:{kind}", number) for kind in identity.KINDS]
        found.append(table.c.certificate_index.in_(indexes))
    if query.text:
        meanings = tokens.alternatives(query.text)
        if not meanings:
            return None
        hashed = _hasher(context)
        found.append(or_(*(table.c.tokens.contains(sorted(map(hashed, each))) for each in meanings)))
    return found


def _hasher(context: Context) -> Any:
    """Give what makes 64 bits of a part of a name."""
    key = context.keyring.blind_key("name parts")
    return lambda part: int.from_bytes(hmac.digest(key, part.encode(), "sha256")[:8], "big", signed=True)


# --- keeping it -----------------------------------------------------------------------------------


async def index(context: Context, row: Mapping[str, Any], fields: Fields) -> None:
    """Write what a customer is found by, in the transaction that changes the customer."""
    values = {name: row[name] for name in COPIED}
    values["tokens"] = sorted(map(_hasher(context), tokens.parts_of(fields.name)))
    statement = upsert(table).values(**values)
    await context.connection.execute(
        statement.on_conflict_do_update(index_elements=["customer_id"], set_={k: values[k] for k in values})
    )


ON_CHANGE.append(index)


async def missing(context: Context, limit: int) -> int:
    """Index customers that were there before there was an index; give how many it did."""
    query = (
        select(rows)
        .where(~select(table.c.customer_id).where(table.c.customer_id == rows.c.customer_id).exists())
        .order_by(rows.c.customer_id)
        .limit(limit)
    )
    found = rows_of(await context.connection.execute(query))
    for row in found:
        await index(context, row, await customers.open_fields(context, row))
    return len(found)


async def moved(context: Context, limit: int) -> tuple[list[int], Any]:
    """Give customers whose accounts the ledger has moved since the watermark, and the new one; locks the watermark.

    What was settled by a clock of another process, or committed late, is looked at again for a minute: figures may be
    written twice, never missed. None: nothing has moved.
    """
    mark = await context.connection.scalar(text("SELECT at FROM office.search_watermark FOR UPDATE"))
    beyond = text(
        "SELECT max(settled_at) FROM (SELECT settled_at FROM office.posting_groups WHERE settled_at > :mark "
        "ORDER BY settled_at LIMIT :limit) portion"
    )
    newest = await context.connection.scalar(beyond, {"mark": mark, "limit": limit})
    last = newest or mark
    query = text(
        "SELECT DISTINCT a.customer_id FROM office.posting_groups g JOIN office.postings p ON p.group_id = g.id "
        "JOIN office.accounts a ON a.account_id IN (p.debit_account_id, p.credit_account_id) "
        "WHERE g.settled_at > :first AND g.settled_at <= :last"
    )
    first = mark - OVERLAP if newest is not None else max(mark - OVERLAP, context.clock() - 2 * OVERLAP)
    found = (await context.connection.execute(query, {"first": first, "last": last})).scalars().all()
    return list(found), (last if found or newest is not None else None)


async def write_figures(context: Context, figures: Mapping[int, Mapping[str, Any]]) -> None:
    """Write figures of customers."""
    statement = text(
        "UPDATE office.customer_search SET products = :products, deposits_minor = :deposits, "
        "investments_minor = :investments, loans_minor = :loans, figures_at = :at WHERE customer_id = :id"
    )
    at = context.clock()
    parameters = [dict(each) | {"id": number, "at": at} for number, each in sorted(figures.items())]
    if parameters:
        await context.connection.execute(statement, parameters)
