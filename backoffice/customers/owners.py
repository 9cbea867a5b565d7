"""Who owns or controls an enterprise in the end, and which customers have to do with each other.

A natural person who holds, in the end, a quarter or more of the shares or votes is a beneficial owner; without one it
is who controls otherwise, else who runs the enterprise (受益所有人信息管理办法, order 3/2024 of PBoC and SAMR (m); the
share is a parameter).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import delete, insert, or_, select
from sqlalchemy.exc import IntegrityError

from backoffice import audit, businessday, parameters
from backoffice.context import Context
from backoffice.customers import identity, service
from backoffice.customers.service import row_of
from backoffice.customers.tables import customer_owners, customer_relations
from backoffice.database import rows_of
from backoffice.privacy import masks
from backoffice.privacy.rows import next_number, opened, seal
from backoffice.problems import Code, Problem, invalid

Row = dict[str, Any]
OWNERS_MAX: Final = 50
WHOLE_PPM: Final = 1_000_000
RELATIONS: Final = ("spouse", "parent", "child", "sibling", "guardian", "employer", "group", "guarantor", "agent")
MIRRORED: Final = {"spouse": "spouse", "parent": "child", "child": "parent", "sibling": "sibling", "group": "group"}
"""How a relation is called from the other side, where it has a name."""


async def replace(context: Context, customer_id: int, version: int, owners: Sequence[Mapping[str, Any]]) -> Row:
    """Write down all owners of an enterprise that is at `version`; give the customer as it is shown.

    Each has a name, a basis (share, control, senior_manager), a share in millionths, and, if known, a certificate and
    the number of the customer that the person is.
    """
    row = await service.row_of(context, customer_id, lock=True)
    if row["version"] != version:
        raise Problem(Code.CHANGED, f"it is at version {row['version']}")
    if row["kind"] != "enterprise":
        raise Problem(Code.STATE, f"customer {customer_id} is a person", more={"kind": "person"})
    if row["status"] == "closed":
        raise Problem(Code.STATE, f"customer {customer_id} is closed", more={"state": "closed"})
    if len(owners) > OWNERS_MAX:
        raise invalid("owners", f"more than {OWNERS_MAX}")
    if sum(each.get("share_ppm") or 0 for each in owners) > WHOLE_PPM:
        raise invalid("owners", "their shares are more than all")
    today = await businessday.today(context)
    least = int(await parameters.value(context, "customers.beneficial_owner_ppm", today))
    await context.connection.execute(delete(customer_owners).where(customer_owners.c.customer_id == customer_id))
    for place, each in enumerate(owners):
        share, basis = int(each.get("share_ppm") or 0), each.get("basis") or "share"
        if basis == "share" and not share:
            raise invalid(f"owners.{place}.share_ppm", "needed for an owner by share")
        name = str(each.get("name") or "").strip()
        if not name or not name.isprintable():
            raise invalid(f"owners.{place}.name", "needed, in characters that can be printed")
        fields = {"name": name}
        if each.get("certificate_number"):
            kind = each.get("certificate_kind") or ""
            try:
                number = identity.certificate(kind, each["certificate_number"], identity.PERSON)
            except ValueError as error:
                raise invalid(f"owners.{place}.certificate_number", str(error)) from None
            fields |= {"certificate_kind": kind, "certificate_number": number}
        if each.get("owner_id") is not None and (await _owner(context, place, each["owner_id"]))["kind"] != "person":
            raise invalid(f"owners.{place}.owner_id", "a beneficial owner is a person")
        place_in = await next_number(context, customer_owners)
        values = seal(context, customer_owners, place_in, json.dumps(fields).encode()) | {
            "owner_row": place_in, "customer_id": customer_id, "owner_id": each.get("owner_id"), "basis": basis,
            "share_ppm": share, "beneficial": basis != "share" or share >= least,
        }  # fmt: skip
        await context.connection.execute(insert(customer_owners).values(**values))
    return await service.touch(context, customer_id, {}, "owners")


async def _owner(context: Context, place: int, owner_id: int) -> Row:
    try:
        return await row_of(context, owner_id)
    except Problem:
        raise invalid(f"owners.{place}.owner_id", f"there is no customer {owner_id}") from None


async def of(context: Context, customer_id: int) -> list[Row]:
    """Owners of an enterprise, masked."""
    await row_of(context, customer_id)
    query = select(customer_owners).where(customer_owners.c.customer_id == customer_id)
    found = []
    for row in rows_of(await context.connection.execute(query.order_by(customer_owners.c.owner_row))):
        fields = json.loads(await opened(context, customer_owners, row["owner_row"], row))
        names = ("owner_row", "owner_id", "basis", "share_ppm", "beneficial")
        number = masks.certificate(fields.get("certificate_number", ""))
        shown = {"name": masks.name(fields["name"]), "certificate_number": number}
        found.append({name: row[name] for name in names} | shown)
    return found


async def names_in_clear(context: Context, customer_id: int) -> list[str]:
    """Names of the owners for the machine's own use (screening)."""
    query = select(customer_owners).where(customer_owners.c.customer_id == customer_id)
    rows = rows_of(await context.connection.execute(query))
    return [json.loads(await opened(context, customer_owners, row["owner_row"], row))["name"] for row in rows]


async def relate(context: Context, customer_id: int, other_id: int, kind: str) -> Row:
    """Note that `other_id` is, for instance, the parent of `customer_id`."""
    if kind not in RELATIONS:
        raise invalid("kind", f"none of {', '.join(RELATIONS)}")
    if customer_id == other_id:
        raise invalid("other_id", "the same customer")
    await row_of(context, customer_id)
    await row_of(context, other_id)
    values = {"customer_id": customer_id, "other_id": other_id, "kind": kind, "made_at": context.clock()}
    statement = insert(customer_relations).values(**values).returning(customer_relations)
    try:
        async with context.connection.begin_nested():
            row = rows_of(await context.connection.execute(statement))[0]
    except IntegrityError:
        raise Problem(Code.EXISTS, "the relation is known") from None
    await audit.record(context, "customers.relate", f"customer:{customer_id}", {"other": other_id, "kind": kind})
    return row


async def relations(context: Context, customer_id: int) -> list[Row]:
    """Relations from both sides; `kind` says what the other one is to this one, "" when that has no name."""
    await row_of(context, customer_id)
    table = customer_relations
    query = select(table).where(or_(table.c.customer_id == customer_id, table.c.other_id == customer_id))
    rows = rows_of(await context.connection.execute(query.order_by(table.c.relation_id)))
    found = []
    for row in rows:
        if row["customer_id"] == customer_id:
            found.append({"relation_id": row["relation_id"], "other_id": row["other_id"], "kind": row["kind"]})
        else:
            kind = MIRRORED.get(row["kind"], f"{row['kind']}_of")
            found.append({"relation_id": row["relation_id"], "other_id": row["customer_id"], "kind": kind})
    names = await service.names_of(context, [row["other_id"] for row in found])
    return [row | {"name": names[row["other_id"]]} for row in found]


async def unrelate(context: Context, customer_id: int, relation_id: int) -> None:
    """Take a relation away."""
    table = customer_relations
    at = (table.c.relation_id == relation_id) & or_(table.c.customer_id == customer_id, table.c.other_id == customer_id)
    done = await context.connection.execute(delete(table).where(at))
    if not done.rowcount:
        raise Problem(Code.NOT_FOUND, f"customer {customer_id} has no relation {relation_id}")
    await audit.record(context, "customers.unrelate", f"customer:{customer_id}", {"relation": relation_id})
