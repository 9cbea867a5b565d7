"""Customers: making, reading, changing, and the states of their life.

What is personal is opened only here. A change keeps what was before, sealed. Reading in clear is a permission, needs a
reason, and is an entry of the audit log.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from backoffice import audit, businessday, parameters
from backoffice.accounts.tables import accounts
from backoffice.context import Context
from backoffice.customers import identity
from backoffice.customers.fields import Fields, checked
from backoffice.customers.hooks import BEFORE_ACTIVE, ON_CHANGE
from backoffice.customers.tables import branches, customer_changes, customers
from backoffice.database import constraint_of, rows_of
from backoffice.privacy.keyring import Sealed
from backoffice.problems import Code, Problem, invalid

OPEN: Final = ("prospect", "active", "dormant", "frozen")
MOVES: Final = {
    "active": {"prospect", "dormant"},
    "dormant": {"active"},
    "frozen": {"prospect", "active", "dormant"},
}
"""State: those from which one comes to it by `set_status`. Release and closing have ways of their own."""
SHOWN: Final = (
    "customer_id", "kind", "status", "branch", "manager", "region", "certificate_kind", "industry", "tags",
    "risk_level", "risk_until", "grade", "reviewed_on", "review_due", "merged_into", "version", "made_at", "changed_at",
)  # fmt: skip
"""What of the row is shown beside the personal fields."""


def place_of(customer_id: int) -> str:
    """The place that a customer's fields are sealed for."""
    return f"customers:{customer_id}"


async def create(
    context: Context,
    *,
    kind: str,
    certificate_kind: str,
    fields: Fields,
    branch: str,
    region: str = "",
    manager: int | None = None,
    industry: str = "",
    tags: Sequence[str] = (),
) -> dict[str, Any]:
    """Make a prospect and return it masked. Problem for wrong fields, or a certificate that a customer has already."""
    today = await businessday.today(context)
    fields = checked(kind, certificate_kind, fields, today)
    await _known_branch(context, branch)
    number = text("SELECT nextval(pg_get_serial_sequence('office.customers', 'customer_id'))")
    customer_id = int((await context.connection.execute(number)).scalar_one())
    review = await parameters.value(context, "due_diligence_review_days", today)
    values = {
        "customer_id": customer_id, "kind": kind, "branch": branch, "region": region, "manager": manager,
        "industry": industry, "tags": sorted(set(tags)), "certificate_kind": certificate_kind,
        "reviewed_on": today, "review_due": today + timedelta(days=review), "made_at": context.clock(),
    }  # fmt: skip
    try:
        async with context.connection.begin_nested():
            values |= _personal(context, customer_id, certificate_kind, fields) | {"changed_at": context.clock()}
            made = await context.connection.execute(insert(customers).values(**values).returning(customers))
            row = rows_of(made)[0]
    except IntegrityError as error:
        raise _broken(error) from None
    await audit.record(context, "customers.create", f"customer:{customer_id}", {"kind": kind, "branch": branch})
    for hook in ON_CHANGE:
        await hook(context, row, fields)
    return shown(row, fields.masked(kind))


async def change(
    context: Context,
    customer_id: int,
    version: int,
    *,
    personal: Mapping[str, str],
    others: Mapping[str, Any],
    certificate_kind: str | None = None,
) -> dict[str, Any]:
    """Change fields of a customer that is at `version`; what was before is kept."""
    row, fields = await _locked(context, customer_id)
    _at(row, version)
    _alive(row)
    today = await businessday.today(context)
    kind = certificate_kind or row["certificate_kind"]
    stored: dict[str, Any] = fields.stored() | dict(personal)
    if stored["certificate_number"] != fields.certificate_number:  # what the old one told is told by the new one
        stored |= {name: personal.get(name, "") for name in ("birth_date", "gender")}
    changed = checked(row["kind"], kind, Fields.read(stored), today)
    if "branch" in others:
        await _known_branch(context, others["branch"])
    values = dict(others) | {"certificate_kind": kind} | _personal(context, customer_id, kind, changed)
    names = sorted([*(name for name in personal if getattr(fields, name) != getattr(changed, name)), *others])
    return await _write(context, row, fields, values, "change", detail={"fields": names}, new=changed)


async def set_status(context: Context, customer_id: int, status: str, reason: str, version: int) -> dict[str, Any]:
    """Activate, lay to rest or freeze a customer that is at `version`."""
    row, fields = await _locked(context, customer_id)
    _at(row, version)
    if row["status"] not in MOVES.get(status, ()):
        raise Problem(Code.STATE, f"customer {customer_id} is {row['status']}", more={"state": row["status"]})
    if status == "active":
        for allowed in BEFORE_ACTIVE:
            await allowed(context, customer_id)
    frozen_from = row["status"] if status == "frozen" else None
    values = {"status": status, "frozen_from": frozen_from}
    return await _write(context, row, fields, values, status, detail={"reason": reason}, reason=reason)


async def freeze(context: Context, customer_id: int, reason: str) -> None:
    """Freeze whatever the version; one that is frozen or closed already stays so."""
    row, fields = await _locked(context, customer_id)
    if row["status"] in MOVES["frozen"]:
        values = {"status": "frozen", "frozen_from": row["status"]}
        await _write(context, row, fields, values, "frozen", detail={"reason": reason}, reason=reason)


async def release(context: Context, customer_id: int, reason: str) -> dict[str, Any]:
    """End a freeze: the state before it comes back. Two persons decide (`customer.release`)."""
    row, fields = await _locked(context, customer_id)
    if row["status"] != "frozen":
        raise Problem(Code.STATE, f"customer {customer_id} is {row['status']}", more={"state": row["status"]})
    values = {"status": row["frozen_from"], "frozen_from": None}
    return await _write(context, row, fields, values, "release", detail={"reason": reason}, reason=reason)


async def close(context: Context, customer_id: int, reason: str) -> dict[str, Any]:
    """Close a customer without open accounts. Two persons decide (`customer.close`)."""
    row, fields = await _locked(context, customer_id)
    _alive(row)
    if row["status"] == "frozen":
        raise Problem(Code.STATE, f"customer {customer_id} is frozen", more={"state": "frozen"})
    count = select(func.count()).where(accounts.c.customer_id == customer_id, accounts.c.status != "closed")
    left = int(await context.connection.scalar(count) or 0)
    if left:
        raise Problem(Code.STATE, f"customer {customer_id} has {left} open accounts", more={"accounts": left})
    return await _write(context, row, fields, {"status": "closed"}, "close", detail={"reason": reason}, reason=reason)


async def touch(context: Context, customer_id: int, values: Mapping[str, Any], action: str) -> dict[str, Any]:
    """Change what is not personal whatever the version (ratings, reviews)."""
    row, fields = await _locked(context, customer_id)
    detail = {name: str(values[name]) for name in values}
    return await _write(context, row, fields, dict(values), action, detail=detail)


# --- reading --------------------------------------------------------------------------------------


async def get(context: Context, customer_id: int) -> dict[str, Any]:
    """One customer, masked; Problem when there is none."""
    row = await row_of(context, customer_id)
    return shown(row, (await open_fields(context, row)).masked(row["kind"]))


async def unmasked(context: Context, customer_id: int, reason: str) -> dict[str, Any]:
    """One customer in clear. The reason and who read it are in the audit log, in the same commit as the reading."""
    row = await row_of(context, customer_id)
    fields = await open_fields(context, row)
    await audit.record(context, "customers.unmask", f"customer:{customer_id}", {"reason": reason})
    return shown(row, dict.fromkeys(Fields.__slots__, "") | fields.stored())


async def row_of(context: Context, customer_id: int, *, lock: bool = False) -> dict[str, Any]:
    """A customer's row as it is stored; Problem when there is none. `lock`: nobody changes it until the commit."""
    query = select(customers).where(customers.c.customer_id == customer_id)
    found = rows_of(await context.connection.execute(query.with_for_update() if lock else query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no customer {customer_id}")
    return found[0]


async def lock(context: Context, customer_id: int) -> None:
    """Let nobody else change a customer until the commit."""
    await _locked(context, customer_id)


async def open_fields(context: Context, row: Mapping[str, Any]) -> Fields:
    """Open the personal fields of a row."""
    sealed = Sealed(row["key_id"], row["sealed"])
    return Fields.read(await context.keyring.open(context.connection, place_of(row["customer_id"]), sealed))


def shown(row: Mapping[str, Any], personal: Mapping[str, str]) -> dict[str, Any]:
    """Put a row and its fields together for people."""
    result = {name: row[name] for name in SHOWN} | dict(personal)
    result["certificate"] = {
        "kind": row["certificate_kind"],
        "number": result.pop("certificate_number"),
        "until": result.pop("certificate_until"),
    }
    del result["certificate_kind"]
    return result


async def names_of(context: Context, ids: Iterable[int], *, clear: bool = False) -> dict[int, str]:
    """Give customers' names, masked unless `clear`; the caller answers for showing them in clear."""
    wanted = sorted(set(ids))
    query = select(customers).where(customers.c.customer_id.in_(wanted))
    names = {}
    for row in rows_of(await context.connection.execute(query)) if wanted else ():
        fields = await open_fields(context, row)
        names[row["customer_id"]] = fields.name if clear else fields.masked(row["kind"])["name"]
    return names


async def require_active(context: Context, customer_id: int) -> dict[str, Any]:
    """Give a customer's row; Problem unless business may be done. Who is dormant and comes back is active again."""
    row = await row_of(context, customer_id)
    if row["status"] == "dormant":
        await touch(context, customer_id, {"status": "active"}, "awake")
        return row | {"status": "active"}
    # Whoever closes, freezes or merges waits for the commit: no business begins with a customer who is gone by then.
    query = select(customers).where(customers.c.customer_id == customer_id).with_for_update(read=True)
    row = rows_of(await context.connection.execute(query))[0]
    if row["status"] != "active":
        raise Problem(Code.STATE, f"customer {customer_id} is {row['status']}", more={"state": row["status"]})
    return row


async def by_certificate(context: Context, kind: str, number: str) -> int | None:
    """Find who has a certificate and is not closed, by the blind index."""
    index = context.keyring.blind(f"certificate:{kind}", number)
    query = select(customers.c.customer_id).where(
        customers.c.certificate_kind == kind, customers.c.certificate_index == index, customers.c.status != "closed"
    )
    found: int | None = await context.connection.scalar(query)
    return found


# --- writing --------------------------------------------------------------------------------------


def _personal(context: Context, customer_id: int, certificate_kind: str, fields: Fields) -> dict[str, Any]:
    """Give the columns that hold personal data: sealed, and blind."""
    keyring = context.keyring
    sealed = keyring.seal(place_of(customer_id), fields.stored())
    return {
        "key_id": sealed.key_id,
        "sealed": sealed.data,
        "certificate_index": keyring.blind(f"certificate:{certificate_kind}", fields.certificate_number),
        "phone_index": keyring.blind("phone", fields.phone) if fields.phone else None,
        "email_index": keyring.blind("email", fields.email.lower()) if fields.email else None,
        "birth_year": int(fields.birth_date[:4]) if fields.birth_date else None,
    }


async def _locked(context: Context, customer_id: int) -> tuple[dict[str, Any], Fields]:
    query = select(customers).where(customers.c.customer_id == customer_id).with_for_update()
    found = rows_of(await context.connection.execute(query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no customer {customer_id}")
    return found[0], await open_fields(context, found[0])


def _at(row: Mapping[str, Any], version: int) -> None:
    if row["version"] != version:
        raise Problem(Code.CHANGED, f"it is at version {row['version']}")


def _alive(row: Mapping[str, Any]) -> None:
    if row["status"] == "closed":
        raise Problem(Code.STATE, f"customer {row['customer_id']} is closed", more={"state": "closed"})


async def _write(
    context: Context,
    row: Mapping[str, Any],
    before: Fields,
    values: Mapping[str, Any],
    action: str,
    *,
    detail: dict[str, Any],
    reason: str = "",
    new: Fields | None = None,
) -> dict[str, Any]:
    customer_id = row["customer_id"]
    kept = before.stored() | {name: str(row[name]) for name in SHOWN if row[name] is not None}
    sealed = context.keyring.seal(f"customer_changes:{customer_id}:{row['version']}", kept)
    await context.connection.execute(
        insert(customer_changes).values(
            customer_id=customer_id, version=row["version"], at=context.clock(), user_id=context.actor.user_id,
            action=action, reason=reason, key_id=sealed.key_id, sealed=sealed.data,
        )
    )  # fmt: skip
    change = (
        update(customers)
        .where(customers.c.customer_id == customer_id)
        .values(**values, version=row["version"] + 1, changed_at=context.clock())
        .returning(customers)
    )
    try:
        async with context.connection.begin_nested():
            changed = rows_of(await context.connection.execute(change))[0]
    except IntegrityError as error:
        raise _broken(error) from None
    await audit.record(context, f"customers.{action}", f"customer:{customer_id}", detail)
    fields = new or before
    for hook in ON_CHANGE:
        await hook(context, changed, fields)
    return shown(changed, fields.masked(changed["kind"]))


async def _known_branch(context: Context, branch: str) -> None:
    if not await context.connection.scalar(select(branches.c.active).where(branches.c.branch == branch)):
        raise invalid("branch", f"there is no branch {branch!r}")


def _broken(error: IntegrityError) -> Problem:
    match constraint_of(error):
        case "one_customer_a_certificate":
            return Problem(Code.EXISTS, "a customer with this certificate is there already")
        case "customers_manager_fkey":
            return invalid("manager", "there is no such user")
        case other:
            return Problem(Code.INVALID, other)


def kinds_of(kind: str) -> list[identity.Kind]:
    """Give the kinds of certificates that a person or an enterprise may have."""
    return [each for each in identity.KINDS.values() if each.of == kind]
