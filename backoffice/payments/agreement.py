"""Payments and their postings agree.

Each state and amount is what the applied events make of it, and every event
stands on the outcome of its postings.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select

from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.ledger.agreement import Difference, check, held_back
from backoffice.ledger.plan import ALL_PENDING
from backoffice.ledger.tables import posting_groups, postings
from backoffice.payments.events import Row, lock, pure
from backoffice.payments.states import Event, Kind, Payment, settle
from backoffice.payments.tables import payment_events, payments
from server.client import TransferFlag

PAGE: Final = 1000
_RESOLVING = TransferFlag.POST_PENDING_TRANSFER | TransferFlag.VOID_PENDING_TRANSFER


@check("payments")
async def differences(context: Context) -> list[Difference]:
    """Look at every payment; one that seems wrong is looked at again under its lock."""
    found: list[Difference] = []
    place = 0
    while True:
        query = select(payments).where(payments.c.payment_id > place).order_by(payments.c.payment_id).limit(PAGE)
        rows = rows_of(await context.connection.execute(query))
        if not rows:
            return found
        for row in await _faulty(context, rows):
            async with held_back(context):
                locked = await lock(context, row["payment_id"])
                words = (await _faults(context, [locked]))[locked["payment_id"]]
            found += [Difference("payment", f"payment:{locked['number']}", each) for each in words]
        place = rows[-1]["payment_id"]


async def _faulty(context: Context, rows: list[Row]) -> list[Row]:
    found = await _faults(context, rows)
    return [row for row in rows if found[row["payment_id"]]]


async def _faults(context: Context, rows: list[Row]) -> dict[int, list[str]]:
    """What is wrong with each of some payments."""
    ids = [row["payment_id"] for row in rows]
    query = select(payment_events).where(payment_events.c.payment_id.in_(ids)).order_by(payment_events.c.place)
    told: dict[int, list[Row]] = {number: [] for number in ids}
    for each in rows_of(await context.connection.execute(query)):
        told[each["payment_id"]].append(each)
    subjects = {f"payment:{number}": number for number in ids}
    query = select(posting_groups).where(posting_groups.c.subject.in_(subjects), posting_groups.c.kind == "payments")
    groups: dict[int, dict[Any, Row]] = {number: {} for number in ids}
    for group in rows_of(await context.connection.execute(query)):
        groups[subjects[group["subject"]]][group["id"]] = group
    query = select(postings).where(postings.c.group_id.in_([g for each in groups.values() for g in each]))
    of_group: dict[Any, list[Row]] = {}
    for posting in rows_of(await context.connection.execute(query)):
        of_group.setdefault(posting["group_id"], []).append(posting)
    return {
        row["payment_id"]: _of_one(row, told[row["payment_id"]], groups[row["payment_id"]], of_group) for row in rows
    }


def _of_one(row: Row, told: list[Row], groups: Mapping[Any, Row], of_group: Mapping[Any, list[Row]]) -> list[str]:
    faults = []
    applied = [
        Event(each["event_id"], Kind(each["kind"]), each["amount_minor"])
        for each in told
        if each["outcome"] == "applied"
    ]
    history = settle(Payment(row["ordered_minor"]), applied)
    after = history.payment
    faults += [f"event {event.id} is applied and cannot be: {why}" for event, why in history.refused]
    faults += [f"event {event.id} is applied and too early" for event in history.early]
    now = pure(row)
    for name in ("state", "authorised_minor", "captured_minor", "refunded_minor"):
        if getattr(after, name) != getattr(now, name):
            faults.append(f"{name} is {getattr(now, name)}, its events make {getattr(after, name)}")
    expected = {"planned": "planned", "applied": "posted", "refused": "refused"}
    known = {each["group_id"] for each in told}
    faults += [f"group {group} belongs to no event" for group in groups if group not in known]
    for each in told:
        if each["group_id"] is None:
            continue
        state = groups[each["group_id"]]["state"] if each["group_id"] in groups else "missing"
        if state != expected.get(each["outcome"]):
            faults.append(f"event {each['event_id']} is {each['outcome']}, its postings are {state}")
    flying = {each["group_id"] for each in told if each["outcome"] == "planned"}
    if flying != ({row["in_flight"]} if row["in_flight"] is not None else set()):
        faults.append("what is in flight and what is planned are not the same")
    moved = _moved(row, groups, of_group)
    if moved != now.net_minor:
        faults.append(f"its postings move {moved}, its amounts say {now.net_minor}")
    return faults


def _moved(row: Row, groups: Mapping[Any, Row], of_group: Mapping[Any, list[Row]]) -> int:
    """What posted groups have moved from the payment's debit to its credit account for good."""
    held = {
        each["id"]: each["amount_minor"]
        for group in groups
        for each in of_group.get(group, ())
        if each["flags"] & int(TransferFlag.PENDING)
    }
    total = 0
    for number, group in groups.items():
        if group["state"] != "posted":
            continue
        for each in of_group.get(number, ()):
            flags = TransferFlag(each["flags"])
            if flags & TransferFlag.POST_PENDING_TRANSFER and each["pending_id"] == row["hold_id"]:
                amount = each["amount_minor"]
                total += held.get(each["pending_id"], 0) if amount == ALL_PENDING else amount
            elif not flags & (TransferFlag.PENDING | _RESOLVING):
                sides = (each["debit_account_id"], each["credit_account_id"])
                total += each["amount_minor"] * ((sides == (row["debit_id"], row["credit_id"])) or 0)
                total -= each["amount_minor"] * ((sides == (row["credit_id"], row["debit_id"])) or 0)
    return total
