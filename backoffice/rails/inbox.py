"""What rails tell: kept as it came, once for each event, and then applied to payments.

Keeping and applying are two commits. Whatever goes wrong with an event, it is there, and the worker comes back to it.
Whoever brings an event first (a callback, the answer to an order, the answer to an inquiry), it counts once; the same
id with another content is work for a person. Events that come too early wait at the payment (`payments.events`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from backoffice.accounts.tables import accounts
from backoffice.background import Services, background, system
from backoffice.cases.service import open_case
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.money import Money, MoneyError
from backoffice.payments import service as payments
from backoffice.payments.reasons import TEXTS
from backoffice.payments.states import Event, Kind, Outcome
from backoffice.payments.tables import payments as payment_rows
from backoffice.problems import Problem
from backoffice.rails import codes
from backoffice.rails.adapters import ADAPTERS
from backoffice.rails.signing import Fault, SignatureError, Signed
from backoffice.rails.tables import outbox, rail_events, rail_nonces
from backoffice.rails.wire import EventKind, EventOut, Operation

log = structlog.get_logger("tongbao.office.rails")
Row = dict[str, Any]
PORTION: Final = 50
SETTLE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What is answered to a rail that asks us to pay. `accepted` None: not decided yet, it must ask again."""

    accepted: bool | None
    reason: str = ""


async def take_nonce(context: Context, rail: str, signed: Signed) -> None:
    """Raise SignatureError for a request that was there before."""
    taken = insert(rail_nonces).values(rail=rail, nonce=signed.nonce, until=signed.until)
    done = await context.connection.execute(taken.on_conflict_do_nothing())
    if not done.rowcount:
        raise SignatureError(Fault.REPLAY)


async def keep(context: Context, rail: str, events: Iterable[EventOut], source: str) -> list[str]:
    """Keep events, each once; return the ids of the new ones. One known with another content becomes a case."""
    new = []
    for event in events:
        body = event.model_dump(mode="json")
        values = {
            "rail": rail, "event_id": event.id, "kind": event.kind.value, "payment": event.payment, "body": body,
            "source": source, "told_at": context.clock(),
        }  # fmt: skip
        made = insert(rail_events).values(**values).on_conflict_do_nothing()
        if (await context.connection.execute(made)).rowcount:
            new.append(event.id)
            continue
        query = select(rail_events.c.body).where(rail_events.c.rail == rail, rail_events.c.event_id == event.id)
        if await context.connection.scalar(query) != body:
            await open_case(
                context, "reconciliation", f"rail:{rail}:{event.id}:conflict", subject=f"rail:{rail}",
                summary=f"{rail}: event {event.id} was told with two contents",
                detail={"event": event.id, "kind": event.kind.value, "amount_minor": event.amount_minor},
            )  # fmt: skip
    return new


async def apply_kept(services: Services, rail: str, event_id: str) -> None:
    """Apply one event that is kept and not applied yet; postings are settled, if the engine answers in time."""
    async with system(services) as context:
        query = select(rail_events).where(rail_events.c.rail == rail, rail_events.c.event_id == event_id)
        found = rows_of(await context.connection.execute(query.with_for_update()))
        if not found or found[0]["state"] != "new":
            return
        state, reason, payment_id = await _apply(context, rail, EventOut.model_validate(found[0]["body"]))
        at = (rail_events.c.rail == rail) & (rail_events.c.event_id == event_id)
        values = {"state": state, "reason": reason[:500], "payment_id": payment_id, "applied_at": context.clock()}
        await context.connection.execute(update(rail_events).where(at).values(**values))
        group = None
        if state == Outcome.APPLIED:
            query = select(payment_rows.c.in_flight).where(payment_rows.c.payment_id == payment_id)
            group = await context.connection.scalar(query)
    if group is not None:
        await services.gateway.settle([group], SETTLE_S)


async def apply_soon(services: Services, rail: str, event_id: str) -> bool:
    """Apply one event now if nothing is in the way; else the worker comes back to it. Whether it has been applied."""
    try:
        await apply_kept(services, rail, event_id)
    except (Problem, SQLAlchemyError) as error:  # a lock that was not to be had in time, for example
        log.warning("rail_event_left", rail=rail, event_id=event_id, error=type(error).__name__)
        return False
    return True


async def _apply(context: Context, rail: str, event: EventOut) -> tuple[str, str, int | None]:
    """Give state, reason, and the payment that it is about."""
    payment = await payment_of(context, rail, event.payment)
    if event.kind in {EventKind.CREDIT, EventKind.DEBIT}:
        if payment is None:
            return await _from_outside(context, rail, event)
        side = "to_account" if event.kind is EventKind.CREDIT else "from_account"
        known = (payment["channel"], payment["ordered_minor"], payment["currency"], payment[side] is not None)
        if known == (rail, event.amount_minor, event.currency, True):
            return "repeated", "", payment["payment_id"]
        await _case(context, rail, event, "is told again with another content", payment)
        return "conflict", "payment_known", payment["payment_id"]
    if payment is None:
        await _case(context, rail, event, "tells of a payment that is not known here")
        return "refused", "payment_unknown", None
    payment_id = payment["payment_id"]
    if event.currency != payment["currency"]:
        await _case(context, rail, event, f"tells of {event.currency}, the payment is in {payment['currency']}")
        return "conflict", "currency", payment_id
    if event.kind is EventKind.REFUSE:
        return await _refused(context, rail, event, payment)
    if event.kind is EventKind.AUTHORISE and payment["mode"] == "held":
        return "noted", "", payment_id  # the money is held here since before the rail was asked
    told = Event(event.id, Kind(event.kind.value), event.amount_minor)
    reason = f"rail_{event.code}" if f"rail_{event.code}" in TEXTS else f"{event.code} {event.reason}".strip()
    outcome, words = await payments.rail_event(
        context, payment, told, reason=reason, rail_reference=event.rail_reference
    )  # fmt: skip
    return outcome.value, words, payment_id


async def _refused(context: Context, rail: str, event: EventOut, payment: Row) -> tuple[str, str, int | None]:
    """A capture, void or refund that the rail does not do; the payment is as it was, and a person must know."""
    query = select(outbox.c.operation).where(outbox.c.reference == event.reference)
    operation = await context.connection.scalar(query)
    words = f"{operation or 'operation'} refused: {event.code} {event.reason}"
    if operation == Operation.VOID and payment["state"] == "expired":
        return "noted", words, payment["payment_id"]  # both sides let go of it
    await _case(context, rail, event, words, payment)
    return "refused", words, payment["payment_id"]


async def payment_of(context: Context, rail: str, name: str) -> Row | None:
    """Find a payment by the name that the rail uses: our number, or its own for what came by it."""
    query = select(payment_rows).where(
        payment_rows.c.rail == rail,
        or_(payment_rows.c.number == name, (payment_rows.c.channel == rail) & (payment_rows.c.reference == name)),
    )
    found = rows_of(await context.connection.execute(query.order_by(payment_rows.c.payment_id).limit(1)))
    return found[0] if found else None


# --- what begins outside --------------------------------------------------------------------------


async def _from_outside(context: Context, rail: str, event: EventOut) -> tuple[str, str, int | None]:
    """Book money that has come in, or hold what somebody wants to collect with a code or a card of our customer."""
    incoming = event.kind is EventKind.CREDIT
    account, reason = await _account_for(context, event)
    if account is None:
        if incoming:
            await _case(context, rail, event, f"has money for nobody: {reason}")
        return "refused", reason, None
    adapter = ADAPTERS[rail]
    order = payments.Order(
        adapter.order_kind, rail, event.amount_minor, event.currency,
        to_account=account if incoming else None, from_account=None if incoming else account,
        mode="direct" if incoming else "held", rail=rail, rail_reference=event.rail_reference, reference=event.payment,
        counted=not incoming, two_persons=False,
    )  # fmt: skip
    try:
        async with context.connection.begin_nested():
            row = await payments.create(context, order)
    except Problem as problem:
        if incoming:
            await _case(context, rail, event, f"has money that cannot be booked: {problem}")
        return "refused", str(problem), None
    if row["state"] == "declined" and incoming:
        await _case(context, rail, event, f"has money that cannot be booked: {row['reason']}", row)
    return "applied", row["reason"], row["payment_id"]


async def _account_for(context: Context, event: EventOut) -> tuple[int | None, str]:
    code = event.instrument.get("code", "")
    if code:
        mode: codes.Mode = "merchant_presented" if event.kind is EventKind.CREDIT else "customer_presented"
        try:
            money = Money(event.amount_minor, event.currency)
        except MoneyError as error:
            return None, str(error)
        return await codes.use(context, code, mode, money, event.payment)
    number = event.instrument.get("account", "")
    found: int | None = await context.connection.scalar(
        select(accounts.c.account_id).where(accounts.c.number == number)
    )
    return found, "" if found is not None else "account_unknown"


async def decision(context: Context, rail: str, event_id: str) -> Decision:
    """Say what is answered to a rail that asked us to pay; the same whenever it asks, once it is decided."""
    query = select(rail_events).where(rail_events.c.rail == rail, rail_events.c.event_id == event_id)
    event = rows_of(await context.connection.execute(query))[0]
    if event["state"] in {"refused", "conflict"}:
        return Decision(False, event["reason"])
    if event["payment_id"] is None:
        return Decision(None)
    row = rows_of(
        await context.connection.execute(
            select(payment_rows).where(payment_rows.c.payment_id == event["payment_id"])
        )
    )[0]  # fmt: skip
    if row["state"] == "created":
        return Decision(None)
    return Decision(row["state"] not in {"declined", "voided", "expired", "reversed"}, row["reason"])


async def _case(context: Context, rail: str, event: EventOut, words: str, payment: Row | None = None) -> None:
    await open_case(
        context, "reconciliation", f"rail:{rail}:{event.id}",
        subject=f"payment:{payment['number']}" if payment else f"rail:{rail}",
        customer_id=payment["customer_id"] if payment else None,
        summary=f"{rail}: {event.payment} {words}"[:500],
        detail={"event": event.id, "kind": event.kind.value, "amount_minor": event.amount_minor,
                "currency": event.currency, "rail_reference": event.rail_reference},
    )  # fmt: skip


# --- beside requests ------------------------------------------------------------------------------


@background("rail_inbox", every_s=0.5)
async def apply_what_is_left(services: Services) -> bool:
    """Apply events that are kept and not applied: the process was killed, or something went wrong then."""
    async with system(services) as context:
        query = select(rail_events.c.rail, rail_events.c.event_id).where(rail_events.c.state == "new")
        left = rows_of(await context.connection.execute(query.order_by(rail_events.c.seq).limit(PORTION)))
    for row in left:
        await apply_soon(services, row["rail"], row["event_id"])
    return False


@background("rail_nonces", every_s=60.0)
async def forget_nonces(services: Services) -> bool:
    """Forget nonces that no signature can use any more."""
    async with system(services) as context:
        await context.connection.execute(delete(rail_nonces).where(rail_nonces.c.until < context.clock()))
    return False
