"""What a customer was before each change, and who is found by what is known exactly."""

from typing import Any, Final

from sqlalchemy import select

from backoffice import audit
from backoffice.context import Context
from backoffice.customers import identity, service
from backoffice.customers.tables import customer_changes, customers
from backoffice.database import rows_of
from backoffice.privacy.keyring import Sealed
from backoffice.problems import Code, Problem, invalid

FOUND_MAX: Final = 50
Row = dict[str, Any]
_NAMES: Final = ("change_id", "version", "at", "user_id", "action", "reason")


async def listed(context: Context, customer_id: int, before: int | None, limit: int) -> list[Row]:
    """Changes, newest first, without what stood there."""
    await service.row_of(context, customer_id)
    query = (
        select(*(customer_changes.c[name] for name in _NAMES))
        .where(customer_changes.c.customer_id == customer_id)
        .order_by(customer_changes.c.change_id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(customer_changes.c.change_id < before)
    return rows_of(await context.connection.execute(query))


async def unmasked(context: Context, customer_id: int, version: int, reason: str) -> Row:
    """Give in clear what stood there at a version. The audit log holds who and why, in the same commit."""
    at = (customer_changes.c.customer_id == customer_id) & (customer_changes.c.version == version)
    found = rows_of(await context.connection.execute(select(customer_changes).where(at)))
    if not found:
        raise Problem(Code.NOT_FOUND, f"customer {customer_id} was not changed at version {version}")
    place = f"customer_changes:{customer_id}:{version}"
    fields = await context.keyring.open(context.connection, place, Sealed(found[0]["key_id"], found[0]["sealed"]))
    detail = {"reason": reason, "version": version}
    await audit.record(context, "customers.unmask_history", f"customer:{customer_id}", detail)
    return {"version": version, "fields": fields}


async def lookup(context: Context, certificate: tuple[str, str], phone: str, email: str) -> list[Row]:
    """Find by exact certificate (kind, number), phone or e-mail through the blind indexes; masked, at most fifty."""
    keyring = context.keyring
    query = select(customers).order_by(customers.c.customer_id).limit(FOUND_MAX)
    asked = []
    kind, number = certificate
    if number:
        if kind not in identity.KINDS:
            raise invalid("certificate_kind", f"none of {', '.join(identity.KINDS)}")
        number = _checked("certificate_number", lambda: identity.certificate(kind, number, identity.KINDS[kind].of))
        index = keyring.blind(f"certificate:{kind}", number)
        query = query.where(customers.c.certificate_kind == kind, customers.c.certificate_index == index)
        asked.append("certificate")
    if phone:
        known = _checked("phone", lambda: identity.phone(phone))
        query = query.where(customers.c.phone_index == keyring.blind("phone", known))
        asked.append("phone")
    if email:
        known = _checked("email", lambda: identity.email(email))
        query = query.where(customers.c.email_index == keyring.blind("email", known.lower()))
        asked.append("email")
    if not asked:
        raise invalid("certificate_number", "give a certificate, a phone number or an e-mail address")
    rows = rows_of(await context.connection.execute(query))
    await audit.record(context, "customers.lookup", "customers", {"by": asked, "found": len(rows)})
    return [service.shown(row, (await service.open_fields(context, row)).masked(row["kind"])) for row in rows]


def _checked(field: str, check: Any) -> str:
    try:
        return str(check())
    except ValueError as error:
        raise invalid(field, str(error)) from None
