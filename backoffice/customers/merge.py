"""The same person twice: found, and made one by two persons.

Everything that points at the merged customer in the database points at the other one afterwards, found through the
foreign keys themselves so that no area is forgotten. What cannot move, because the other one has such a row already,
stays with the merged customer, who keeps its data, is closed, and says into whom it was merged.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import or_, select, text, update
from sqlalchemy.exc import IntegrityError

from backoffice import approvals, audit
from backoffice.context import Context
from backoffice.customers import service
from backoffice.customers.service import row_of
from backoffice.customers.tables import customers
from backoffice.database import rows_of
from backoffice.ledger.tables import ledger_accounts
from backoffice.problems import Code, Problem, invalid

Row = dict[str, Any]
CANDIDATES_MAX: Final = 50
STAYS: Final = {("customers", "merged_into"), ("customer_changes", "customer_id")}
"""What tells of the merged customer itself. Tables of other areas that should stay, too, add themselves."""
_POINTERS: Final = text(
    "SELECT c.relname AS table_name, a.attname AS column_name FROM pg_constraint k "
    "JOIN pg_class c ON c.oid = k.conrelid "
    "JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] "
    "WHERE k.contype = 'f' AND k.confrelid = 'office.customers'::regclass AND cardinality(k.conkey) = 1 "
    "ORDER BY 1, 2"
)


async def duplicates(context: Context, customer_id: int) -> list[Row]:
    """Customers of the same kind, not closed, with the same phone number, e-mail address or certificate number.

    Those with the same name come first. A certificate can be there twice under two kinds (a passport that was renewed
    cannot: its number is another).
    """
    row = await row_of(context, customer_id)
    same = [customers.c.certificate_index == row["certificate_index"]]
    same += [customers.c[name] == row[name] for name in ("phone_index", "email_index") if row[name] is not None]
    query = select(customers).where(
        or_(*same), customers.c.customer_id != customer_id, customers.c.kind == row["kind"],
        customers.c.status != "closed",
    )  # fmt: skip
    rows = rows_of(await context.connection.execute(query.order_by(customers.c.customer_id).limit(CANDIDATES_MAX)))
    mine = await service.open_fields(context, row)
    found = []
    for each in rows:
        other = await service.open_fields(context, each)
        reasons = [
            name
            for name in ("name", "certificate_number", "phone", "email", "birth_date")
            if getattr(mine, name) and getattr(mine, name) == getattr(other, name)
        ]
        found.append(service.shown(each, other.masked(each["kind"])) | {"reasons": reasons})
    return sorted(found, key=lambda each: ("name" not in each["reasons"], -len(each["reasons"]), each["customer_id"]))


async def ask(context: Context, customer_id: int, into: int, reason: str) -> Row:
    """Ask for merging `customer_id` into another; a second person decides."""
    if customer_id == into:
        raise invalid("into", "the same customer")
    if not reason.strip():
        raise invalid("reason", "say why")
    _mergeable(await row_of(context, customer_id), await row_of(context, into))
    payload = {"customer_id": customer_id, "into": into, "reason": reason.strip()}
    asked = await approvals.ask(
        context, "customer.merge", f"customer:{customer_id}", f"merge customer {customer_id} into {into}", payload
    )
    return await approvals.get(context, asked["approval_id"])


def _mergeable(row: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Frozen customers stay as they are: merging must not get money out of a freeze."""
    for each in (row, other):
        if each["status"] in {"closed", "frozen"}:
            raise Problem(
                Code.STATE,
                f"customer {each['customer_id']} is {each['status']}",
                more={"state": each["status"], "merged_into": each["merged_into"]},
            )
    if row["kind"] != other["kind"]:
        raise Problem(Code.STATE, "a person and an enterprise are not the same", more={"kind": other["kind"]})


async def _merge(context: Context, payload: Mapping[str, Any]) -> Any:
    gone, into = payload["customer_id"], payload["into"]
    locked = {number: await row_of(context, number, lock=True) for number in sorted((gone, into))}
    _mergeable(locked[gone], locked[into])
    moved, kept = await _move(context, gone, into)
    owner = update(ledger_accounts).where(ledger_accounts.c.owner == f"customer:{gone}")
    await context.connection.execute(owner.values(owner=f"customer:{into}"))
    await service.touch(context, gone, {"status": "closed", "merged_into": into}, "merge")
    tags = {"tags": sorted({*locked[gone]["tags"], *locked[into]["tags"]})}
    await service.touch(context, into, tags, "merged")
    detail = {"into": into, "reason": payload["reason"], "moved": moved, "kept": kept}
    await audit.record(context, "customers.merge_done", f"customer:{gone}", detail)
    return {"customer_id": gone, "into": into, "moved": moved, "kept": kept}


async def _move(context: Context, gone: int, into: int) -> tuple[dict[str, int], dict[str, int]]:
    """Let every row that points at the one point at the other; give how many moved, and how many stay, by table."""
    moved: dict[str, int] = {}
    kept: dict[str, int] = {}
    # Two relations of the two with each other mean nothing any more.
    between = text("DELETE FROM office.customer_relations WHERE customer_id IN (:a, :b) AND other_id IN (:a, :b)")
    await context.connection.execute(between, {"a": gone, "b": into})
    for pointer in rows_of(await context.connection.execute(_POINTERS)):
        table, column = pointer["table_name"], pointer["column_name"]
        if (table, column) in STAYS:
            continue
        # Names come from the catalogue, not from anybody's request.
        where = f'WHERE "{column}" = :gone'
        numbers = {"gone": gone, "into": into}
        change = text(f'UPDATE office."{table}" SET "{column}" = :into {where}')  # noqa: S608
        try:
            async with context.connection.begin_nested():
                done = await context.connection.execute(change, numbers)
        except IntegrityError:
            count = text(f'SELECT count(*) FROM office."{table}" {where}')  # noqa: S608
            kept[table] = kept.get(table, 0) + int(await context.connection.scalar(count, {"gone": gone}) or 0)
            continue
        if done.rowcount:
            moved[table] = moved.get(table, 0) + done.rowcount
    return moved, kept


approvals.register(approvals.Kind("customer.merge", "customers.approve", _merge))
