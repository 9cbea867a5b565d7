"""What is done with a payment that is there: a hold taken or given up, a reversal, a refund.

A reversal (冲正) undoes a payment of the same business date as a whole, with its fee; a refund gives money back on any
day, wholly or in part, and leaves the fee. Both need a second person. Over a rail nothing is undone by us alone: the
rail is asked, and its event does it.
"""

from collections.abc import Mapping
from typing import Any

from backoffice import approvals, audit, businessday
from backoffice.context import Context
from backoffice.money import Money
from backoffice.payments import events
from backoffice.payments.events import Row, lock
from backoffice.payments.rails_api import rail_of
from backoffice.payments.service import get, source_of
from backoffice.payments.states import Event, Kind, Outcome, State
from backoffice.problems import Code, Problem, invalid
from server.client import uuid7


async def capture(context: Context, number: str, amount_minor: int | None = None) -> Row:
    """Turn a hold of ours into a payment, wholly or in part: the rail is asked, and its CAPTURE event does it."""
    row = await get(context, number, lock_=True)
    amount_minor = row["authorised_minor"] if amount_minor is None else amount_minor
    if row["state"] != State.AUTHORISED or not row["rail"]:
        raise Problem(Code.STATE, f"payment {number} is {row['state']}", more={"state": row["state"]})
    if not 0 < amount_minor <= row["authorised_minor"]:
        raise invalid("amount", f"is not from 1 to {row['authorised_minor']} minor units")
    await rail_of(row["rail"]).capture(context, row, amount_minor)
    await audit.record(context, "payments.capture", f"payment:{number}", {"amount_minor": amount_minor})
    return row


async def void(context: Context, number: str) -> Row:
    """Give a hold up: the rail is asked, if it knows of the payment already; else the hold goes at once."""
    row = await get(context, number, lock_=True)
    if row["state"] != State.AUTHORISED:
        raise Problem(Code.STATE, f"payment {number} is {row['state']}", more={"state": row["state"]})
    if row["rail"] and (row["sent_at"] is not None or row["channel"] == row["rail"]):
        await rail_of(row["rail"]).void(context, row)
    else:
        await events.tell(context, row, Event("void", Kind.VOID), source_of(context))
    await audit.record(context, "payments.void", f"payment:{number}", {})
    return row


async def ask_reversal(context: Context, number: str, reason: str) -> Row:
    """冲正: ask to undo a payment as a whole, on its own business date; a second person decides."""
    row = await get(context, number, lock_=True)
    await _reversible(context, row)
    payload = {"payment_id": row["payment_id"], "reason": reason, "request": str(uuid7())}
    return await approvals.ask(context, "payment_reversal", f"payment:{number}", f"reversal of {number}", payload)


async def ask_refund(context: Context, number: str, amount_minor: int, reason: str) -> Row:
    """Ask to give money back, wholly or in part, on any day; a second person decides."""
    row = await get(context, number, lock_=True)
    _refundable(row, amount_minor)
    payload = {
        "payment_id": row["payment_id"], "amount_minor": amount_minor, "reason": reason, "request": str(uuid7()),
    }  # fmt: skip
    summary = f"refund of {Money(amount_minor, row['currency'])} {row['currency']} of {number}"
    return await approvals.ask(context, "payment_refund", f"payment:{number}", summary, payload)


async def _reversible(context: Context, row: Row) -> None:
    number, today = row["number"], await businessday.today(context)
    if row["rail"]:
        raise Problem(Code.STATE, f"payment {number} went over a rail; ask for a refund")
    if row["state"] != State.CAPTURED or row["in_flight"] is not None:
        raise Problem(Code.STATE, f"payment {number} is {row['state']}", more={"state": row["state"]})
    if row["business_date"] != today:
        raise Problem(Code.STATE, f"payment {number} is of {row['business_date']}; only today's are reversed")


def _refundable(row: Row, amount_minor: int) -> None:
    number, left = row["number"], row["captured_minor"] - row["refunded_minor"]
    if row["state"] not in {State.CAPTURED, State.PARTLY_REFUNDED} or row["in_flight"] is not None:
        raise Problem(Code.STATE, f"payment {number} is {row['state']}", more={"state": row["state"]})
    if not 0 < amount_minor <= left:
        raise invalid("amount", f"is not from 1 to {left} minor units, which are left")


async def _reverse(context: Context, payload: Mapping[str, Any]) -> Any:
    row = await lock(context, payload["payment_id"])
    await _reversible(context, row)
    event = Event(f"reverse-{payload['request']}", Kind.REVERSE)
    await _tell(context, row, event, payload["reason"])
    return {"payment": row["number"]}


async def _refund(context: Context, payload: Mapping[str, Any]) -> Any:
    row = await lock(context, payload["payment_id"])
    amount, request = payload["amount_minor"], f"refund-{payload['request']}"
    _refundable(row, amount)
    if row["rail"]:
        await rail_of(row["rail"]).refund(context, row, amount, request)
    else:
        await _tell(context, row, Event(request, Kind.REFUND, amount), payload["reason"])
    return {"payment": row["number"]}


async def _tell(context: Context, row: Row, event: Event, reason: str) -> None:
    """What cannot be done leaves the request open, with the reason in the answer."""
    outcome, words = await events.tell(context, row, event, source_of(context), reason)
    if outcome is not Outcome.APPLIED:
        raise Problem(Code.STATE, words or str(outcome), more={"state": row["state"]})


approvals.register(approvals.Kind("payment_reversal", "payments.approve", _reverse))
approvals.register(approvals.Kind("payment_refund", "payments.approve", _refund))
