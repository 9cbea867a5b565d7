"""What happens to payments, one event at a time.

Each is told once, planned if it moves money, and applied when the engine has said yes.

A payment's row is locked while it is worked on, and while postings of it are on their way nothing else is done to it:
events that come meanwhile wait. So the pure table of `states.py` decides each event on what is settled, and what the
engine refuses never happened.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from sqlalchemy import func, insert, select, update

from backoffice import businessday
from backoffice.accounts import service as accounts
from backoffice.cases.service import open_case
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.ledger import Outcome as Settled
from backoffice.ledger import plan, settled_by
from backoffice.payments import postings, use
from backoffice.payments.rails_api import RAILS
from backoffice.payments.states import Event, Kind, Outcome, Payment, State, step
from backoffice.payments.tables import payment_events, payments
from backoffice.problems import Code, Problem

Row = dict[str, Any]
Changed = Callable[[Context, Row], Awaitable[None]]
"""Told of a payment whose state has changed, in the transaction that changes it."""
LISTENERS: Final[list[Changed]] = []
UNDONE: Final = frozenset({State.DECLINED, State.VOIDED, State.EXPIRED, State.REVERSED})
"""States in which a payment has not come about: its share of the limits is given back."""


def on_change(listener: Changed) -> Changed:
    """Register who is told when a payment's state changes."""
    if listener not in LISTENERS:
        LISTENERS.append(listener)
    return listener


async def lock(context: Context, payment_id: int) -> Row:
    """Give a payment, locked until the commit; Problem when there is none."""
    query = select(payments).where(payments.c.payment_id == payment_id).with_for_update(key_share=True)
    found = rows_of(await context.connection.execute(query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no payment {payment_id}")
    return found[0]


async def tell(context: Context, row: Row, event: Event, source: str, reason: str = "") -> tuple[Outcome, str]:
    """Let an event happen to a payment that is locked; say what came of it, and why if nothing did.

    APPLIED means accepted: if money moves, it counts when the engine has posted it. EARLY: it waits and is tried again
    by itself. REFUSED and CONFLICT from a rail open a case.
    """
    at = (payment_events.c.payment_id == row["payment_id"]) & (payment_events.c.event_id == event.id)
    known = rows_of(await context.connection.execute(select(payment_events).where(at)))
    if known:
        if (known[0]["kind"], known[0]["amount_minor"]) == (event.kind, event.amount_minor):
            return Outcome.REPEATED, ""
        words = f"{event.id} is known as {known[0]['kind']} of {known[0]['amount_minor']}"
        await _work_for_people(context, row, event.id, source, words)
        return Outcome.CONFLICT, words
    await _note(context, row, event, source, reason)
    await advance(context, row)
    now = rows_of(await context.connection.execute(select(payment_events).where(at)))[0]
    if now["outcome"] == "refused":
        return Outcome.REFUSED, now["reason"]
    return (Outcome.EARLY if now["outcome"] == "waiting" else Outcome.APPLIED), now["reason"]


async def _note(context: Context, row: Row, event: Event, source: str, reason: str, **values: Any) -> None:
    place = select(func.coalesce(func.max(payment_events.c.place), 0) + 1).where(
        payment_events.c.payment_id == row["payment_id"]
    )
    await context.connection.execute(
        insert(payment_events).values(
            payment_id=row["payment_id"], place=place.scalar_subquery(), event_id=event.id, kind=str(event.kind),
            amount_minor=event.amount_minor, source=source, reason=reason[:500], at=context.clock(),
            **{"outcome": "waiting"} | values,
        )
    )  # fmt: skip


async def advance(context: Context, row: Row) -> None:
    """Take up the waiting events that are possible now, until one needs the engine. Changes `row` with the table."""
    moved = True
    while moved and row["in_flight"] is None:
        moved = False
        for told in await _waiting(context, row):
            event = Event(told["event_id"], Kind(told["kind"]), told["amount_minor"])
            done = step(pure(row), event)
            if done.outcome is Outcome.EARLY:
                continue
            if done.outcome is not Outcome.APPLIED:
                await _mark(context, told, outcome="refused", reason=done.reason)
                await _work_for_people(context, row, event.id, told["source"], done.reason)
                continue
            items = postings.of_event(row, event)
            blocked = await _blocked(context, row, event) if items else ""
            if blocked:
                await _mark(context, told, outcome="refused", reason=blocked)
                await _work_for_people(context, row, event.id, told["source"], blocked)
                continue
            if items:
                group = await plan(context, "payments", f"payment:{row['payment_id']}", items)
                await _mark(context, told, outcome="planned", group_id=group)
                holds: dict[str, Any] = {}
                if event.kind is Kind.AUTHORISE and row["mode"] != "direct":
                    holds = {"hold_id": items[0].id, "fee_hold_id": items[1].id if len(items) > 1 else None}
                await change(context, row, in_flight=group, **holds)
                return
            await _mark(context, told, outcome="applied")
            await _apply(context, row, done.payment, told["reason"])
            moved = True
            break


async def _blocked(context: Context, row: Row, event: Event) -> str:
    """Say why money may not go back: the account that it is to return to takes none, or the other one is frozen."""
    if event.kind not in {Kind.REFUND, Kind.REVERSE}:
        return ""
    for account_id, may in ((row["from_account"], accounts.can_receive), (row["to_account"], accounts.can_pay)):
        if account_id is None:
            continue
        try:
            may(await accounts.by_id(context, account_id))
        except Problem as problem:
            return str(problem)
    return ""


@settled_by("payments")
async def settled(context: Context, outcome: Settled) -> None:
    """The engine has posted or refused an event's postings: the event has happened, or has not."""
    row = await lock(context, int(outcome.subject.removeprefix("payment:")))
    at = payment_events.c.group_id == outcome.group
    told = rows_of(await context.connection.execute(select(payment_events).where(at)))[0]
    event = Event(told["event_id"], Kind(told["kind"]), told["amount_minor"])
    await change(context, row, in_flight=None)
    if outcome.posted:
        await _mark(context, told, outcome="applied")
        after = step(pure(row), event).payment
        if event.kind is Kind.AUTHORISE and row["mode"] == "direct":
            capture = Event("capture", Kind.CAPTURE, event.amount_minor)
            await _note(context, row, capture, "system", "", outcome="applied", settled_at=context.clock())
            after = step(after, capture).payment
        await _apply(context, row, after, told["reason"])
    else:
        await _mark(context, told, outcome="refused", reason=outcome.reason)
        if event.kind is Kind.AUTHORISE:
            decline = Event("decline", Kind.DECLINE)
            await _note(context, row, decline, "system", outcome.reason, outcome="applied", settled_at=context.clock())
            await _apply(context, row, step(pure(row), decline).payment, outcome.reason)
        else:
            await _work_for_people(context, row, event.id, told["source"], outcome.reason)
    await advance(context, row)


def pure(row: Mapping[str, Any]) -> Payment:
    """Give the payment as the table of states sees it."""
    return Payment(
        row["ordered_minor"], State(row["state"]), row["authorised_minor"], row["captured_minor"], row["refunded_minor"]
    )


async def _apply(context: Context, row: Row, after: Payment, reason: str) -> None:
    """Write what an event has made of a payment, and tell whoever is to know."""
    amounts = {
        "authorised_minor": after.authorised_minor, "captured_minor": after.captured_minor,
        "refunded_minor": after.refunded_minor,
    }  # fmt: skip
    before = State(row["state"])
    why = {"reason": reason[:500]} if reason else {}
    await change(context, row, state=str(after.state), **amounts, **why)
    if after.state in UNDONE:
        await use.give_back(context, row)
    if before is State.CREATED and after.state in {State.AUTHORISED, State.CAPTURED}:
        await _customers_business(context, row)
    rail = RAILS.get(row["rail"])
    if rail is not None and before is State.CREATED and after.state is State.DECLINED:
        await rail.decline(context, row)
    if after.state is State.AUTHORISED and row["mode"] == "held":
        await send_when_due(context, row)
    for listener in LISTENERS:
        await listener(context, row)


async def send_when_due(context: Context, row: Row) -> None:
    """Ask the rail, unless its hours or the day's cut-off say later; `background.py` comes back for those."""
    rail = RAILS.get(row["rail"])
    now = context.clock()
    if rail is None or row["sent_at"] is not None or (row["send_at"] is not None and row["send_at"] > now):
        return
    await change(context, row, sent_at=now)
    await rail.authorise(context, row)


async def _customers_business(context: Context, row: Row) -> None:
    """Note that the customer has done business on the account; it is locked only if that changes something."""
    account_id = row["from_account"] or (row["to_account"] if row["kind"] == "deposit" else None)
    if account_id is None or row["kind"] == "fee":
        return
    account = await accounts.by_id(context, account_id)
    if account["active_on"] != await businessday.today(context) or account["status"] == "dormant":
        await accounts.used_by_customer(context, await accounts.by_id(context, account_id, lock=True))


async def _waiting(context: Context, row: Row) -> list[Row]:
    query = select(payment_events).where(
        payment_events.c.payment_id == row["payment_id"], payment_events.c.outcome == "waiting"
    )
    return rows_of(await context.connection.execute(query.order_by(payment_events.c.place)))


async def _mark(context: Context, told: Row, **values: Any) -> None:
    at = (payment_events.c.payment_id == told["payment_id"]) & (payment_events.c.place == told["place"])
    if values["outcome"] != "planned":
        values["settled_at"] = context.clock()
    await context.connection.execute(update(payment_events).where(at).values(**values))


async def change(context: Context, row: Row, **values: Any) -> None:
    """Change a payment that is locked, and `row` with it."""
    at = payments.c.payment_id == row["payment_id"]
    change = update(payments).where(at).values(version=payments.c.version + 1, changed_at=context.clock(), **values)
    row |= rows_of(await context.connection.execute(change.returning(payments)))[0]


async def _work_for_people(context: Context, row: Row, event_id: str, source: str, words: str) -> None:
    """What a rail tells and the payment cannot do is a case; what a user asks for gets its answer at once."""
    if not source.startswith("rail:"):
        return
    await open_case(
        context, "payment", f"{row['number']}:{event_id}", subject=f"payment:{row['number']}",
        customer_id=row["customer_id"], summary=f"{source}: {words}"[:500], detail={"event": event_id},
    )  # fmt: skip


def groups_of(row: Mapping[str, Any]) -> list[uuid.UUID]:
    """What a route settles after the commit."""
    return [row["in_flight"]] if row["in_flight"] is not None else []
