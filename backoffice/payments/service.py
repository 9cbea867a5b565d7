"""Payments: made, decided, told about by rails, found. What undoes them stands in `undo.py`.

How a payment gets its money (`mode`):

- `direct`: one posting. Cash at the counter, transfers within the house, money that a rail brings.
- `held`: the money is held, the rail is asked (or told, if the payment came by it), and its CAPTURE or VOID event
  posts or gives up the hold.
- `asked`: the rail is asked first, and its AUTHORISE event makes the hold: we collect for a customer.

A refusal is a result: limits, a stopped account and the engine's refusal make a payment that is declined and says why.
Only what cannot be a payment at all (no such account, two currencies) is a Problem. The order of locks is: payment,
use of the limits, accounts, audit log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert as upsert

from backoffice import approvals, audit, businessday
from backoffice.accounts import service as accounts
from backoffice.accounts.tables import accounts as account_rows
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.ledger import own
from backoffice.money import LEDGERS, Money
from backoffice.payments import events, use
from backoffice.payments.cutoff import timing
from backoffice.payments.events import Row, groups_of, lock, on_change
from backoffice.payments.iso20022.values import Party
from backoffice.payments.limits import day_of
from backoffice.payments.outside import document_of
from backoffice.payments.postings import CODES, FEE_INCOME
from backoffice.payments.rails_api import rail_of
from backoffice.payments.rules import Rules, load
from backoffice.payments.states import Event, Kind, Outcome
from backoffice.payments.tables import PAYMENT_IDS, payment_events, payments
from backoffice.problems import Code, Problem, invalid
from backoffice.products.calendar import BusinessCalendar

__all__ = ["Order", "create", "events_of", "get", "groups_of", "lock", "on_change", "rail_event"]
CASH: Final = 1001
TEXT_MAX: Final = 140
CALENDAR: Final = BusinessCalendar(weekends_only_beyond=True)


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for. Accounts are the engine's numbers; one that is missing stands for the institution or a rail.

    `counted`: whether it uses the payer's limits. `two_persons`: whether the amount may call for a second person.
    `cause`: what made it (a standing order's day, a row of a file); one payment each. `fee_minor`: None as the rules
    say. `reference`: the asker's own, once per channel. `use_day`: counted already, as a part of a file on that day.
    `send_at`: the rail is not asked before.
    """

    kind: str
    channel: str
    amount_minor: int
    currency: str = "CNY"
    from_account: int | None = None
    to_account: int | None = None
    mode: str = "direct"
    outside: Party | None = None
    rail: str = ""
    rail_reference: str = ""
    reference: str = ""
    cause: str = ""
    purpose: str = ""
    fee_minor: int | None = None
    counted: bool = True
    two_persons: bool = True
    detail: Mapping[str, Any] | None = None
    use_day: date | None = None
    send_at: datetime | None = None

    @property
    def operation(self) -> str:
        """What fees and limits call it."""
        if self.kind not in {"transfer", "standing", "bulk_item"}:
            return self.kind
        if self.from_account is not None and self.to_account is not None:
            return "transfer"
        return "transfer_out" if self.from_account is not None else "transfer_in"

    def check(self) -> None:
        """Raise Problem for what cannot be a payment."""
        if self.kind not in CODES:
            raise invalid("kind", f"{self.kind!r} is none of {', '.join(CODES)}")
        if self.amount_minor <= 0:
            raise invalid("amount", "is not above zero")
        if self.currency not in LEDGERS:
            raise invalid("currency", f"{self.currency!r} is none of {', '.join(LEDGERS)}")
        if self.from_account is None and self.to_account is None:
            raise invalid("from_account", "no customer's account takes part")
        if self.from_account == self.to_account:
            raise invalid("to_account", "is the account that pays")
        if self.mode != "direct" and not self.rail and self.operation != "transfer":
            raise invalid("rail", "a payment that is held needs one")
        if len(self.purpose) > TEXT_MAX:
            raise invalid("purpose", f"has more than {TEXT_MAX} characters")


async def create(context: Context, order: Order) -> Row:
    """Make a payment, and plan what it needs; return its row. Declined if limits or accounts do not allow it.

    A known reference gives the payment that has it, or Problem if that is another payment.
    """
    order.check()
    today, now = await businessday.today(context), context.clock()
    rules = await load(context, today)
    payer, payee = await _accounts(context, order)
    debit, credit = await _sides(context, order)
    fee = order.fee_minor
    if fee is None:
        fee = rules.fee_minor(order.channel, order.operation, order.currency, order.amount_minor)
    if fee:
        await own(context, FEE_INCOME, LEDGERS[order.currency])
    times = _times(order, rules, today, now)
    payment_id = int((await context.connection.execute(select(PAYMENT_IDS.next_value()))).scalar_one())
    owner = payer or payee
    outside = document_of(context, f"payments:{payment_id}", order.outside)
    values = {
        "payment_id": payment_id, "number": f"P{today:%Y%m%d}{payment_id:010d}", "kind": order.kind,
        "operation": order.operation, "channel": order.channel, "mode": order.mode, "currency": order.currency,
        "ordered_minor": order.amount_minor, "fee_minor": fee, "from_account": order.from_account,
        "to_account": order.to_account, "debit_id": debit, "credit_id": credit,
        "customer_id": owner["customer_id"] if owner else None, "outside": outside,
        "purpose": order.purpose, "reference": order.reference, "rail": order.rail,
        "rail_reference": order.rail_reference, "cause": order.cause, "detail": dict(order.detail or {}),
        "maker": context.actor.user_id, "branch": context.actor.branch or (owner or {}).get("branch", ""),
        "made_at": now, "changed_at": now, **times,
    }  # fmt: skip
    made = upsert(payments).values(**values).on_conflict_do_nothing().returning(payments)
    found = rows_of(await context.connection.execute(made))
    if not found:
        return await _known(context, order)
    row = found[0]
    await _begin(context, row, order, rules, payer=payer, payee=payee)
    detail = {
        "kind": row["kind"],
        "channel": row["channel"],
        "amount": str(Money(row["ordered_minor"], row["currency"])),
    }
    await audit.record(context, "payments.create", f"payment:{row['number']}", detail | {"state": row["state"]})
    return row


async def _begin(
    context: Context, row: Row, order: Order, rules: Rules, *, payer: Row | None, payee: Row | None
) -> None:
    """Check what may decline a payment; then ask the second person, the rail, or the engine."""
    if payer is not None and order.counted and order.kind != "fee":
        day = day_of(context.clock())
        breaches = await use.take(
            context, rules, payer["customer_id"], day, channel=order.channel, currency=order.currency,
            amount_minor=order.amount_minor,
        )  # fmt: skip
        if breaches:
            told = [
                {"measure": str(each.limit.measure), "channel": each.limit.channel, "most": each.limit.most,
                 "left": each.left}
                for each in breaches
            ]  # fmt: skip
            await decline(context, row, f"limit_{breaches[0].limit.measure}", {"limits": told})
            return
        await events.change(context, row, use_day=day)
    for account, may, side in ((payer, accounts.can_pay, "payer"), (payee, accounts.can_receive, "payee")):
        if account is None:
            continue
        try:
            may(account)
        except Problem:
            await decline(context, row, f"{side}_account_{account['status']}")
            return
    if order.two_persons and rules.two_persons(order.channel, order.operation, order.amount_minor):
        if context.actor.user_id is None:
            await decline(context, row, "second_person_needed")
            return
        summary = f"{row['kind']} {Money(row['ordered_minor'], row['currency'])} {row['currency']}"
        asked = await approvals.ask(
            context, "payment", f"payment:{row['number']}", summary, {"payment_id": row["payment_id"]}
        )
        await events.change(context, row, approval_id=asked["approval_id"])
        return
    await _start(context, row)


async def _start(context: Context, row: Row) -> None:
    if row["mode"] == "asked":
        await events.send_when_due(context, row)
    else:
        await events.tell(context, row, Event("authorise", Kind.AUTHORISE, row["ordered_minor"]), source_of(context))


async def decline(context: Context, row: Row, reason: str, detail: Mapping[str, Any] | None = None) -> None:
    """Refuse a payment that has not begun; `row` must be locked or new."""
    if detail:
        await events.change(context, row, detail={**row["detail"], **detail})
    await events.tell(context, row, Event("decline", Kind.DECLINE), source_of(context), reason)


async def _accounts(context: Context, order: Order) -> tuple[Row | None, Row | None]:
    """Load both accounts; Problem for one that is not there or keeps another currency."""
    found: list[Row | None] = []
    for field, number in (("from_account", order.from_account), ("to_account", order.to_account)):
        if number is None:
            found.append(None)
            continue
        rows = rows_of(
            await context.connection.execute(select(account_rows).where(account_rows.c.account_id == number))
        )
        if not rows:
            raise invalid(field, "there is no such account")
        if rows[0]["currency"] != order.currency:
            raise invalid(field, f"is kept in {rows[0]['currency']}, not in {order.currency}")
        found.append(rows[0])
    return found[0], found[1]


async def _sides(context: Context, order: Order) -> tuple[int, int]:
    """Give the engine's debit and credit accounts."""
    ledger = LEDGERS[order.currency]
    if order.rail:
        other = await own(context, *_clearing(order.rail, ledger))
    elif order.kind == "fee":
        other = await own(context, FEE_INCOME, ledger)
    elif order.kind in {"deposit", "withdrawal"}:
        other = await own(context, CASH, ledger)
    else:
        other = 0
    debit, credit = order.from_account or other, order.to_account or other
    if not debit or not credit:
        raise invalid("to_account" if order.to_account is None else "from_account", "is missing")
    return debit, credit


def _clearing(rail: str, ledger: int) -> tuple[int, int, int]:
    code, part = rail_of(rail).clearing
    return code, ledger, part


def _times(order: Order, rules: Rules, today: date, now: Any) -> dict[str, Any]:
    """Say on which day it counts, and when the rail is asked. The house's day is never before the business date."""
    times: dict[str, Any] = {"business_date": today, "value_date": today}
    if order.use_day is not None:
        times["use_day"] = order.use_day
    if order.mode != "direct" and order.rail:
        times["expires_at"] = now + timedelta(hours=rules.hold_hours(order.rail))
    # What came by a rail is at work there already.
    hours = rules.hours(order.rail, order.channel) if order.channel != order.rail else None
    if hours is not None:
        placed = timing(hours, CALENDAR, now)
        times["business_date"] = max(today, placed.business_day)
        times["value_date"] = max(today, placed.settlement_day)
        if placed.late:
            times["send_at"] = placed.sent_at
            if "expires_at" in times:
                times["expires_at"] += placed.sent_at - now
    if order.send_at is not None:
        times["send_at"] = max(order.send_at, times.get("send_at", order.send_at))
    return times


async def _known(context: Context, order: Order) -> Row:
    """Give the payment that has this reference or cause; Problem when it is another one."""
    same = [payments.c.cause == order.cause] if order.cause else []
    if order.reference:
        same.append((payments.c.channel == order.channel) & (payments.c.reference == order.reference))
    found = rows_of(await context.connection.execute(select(payments).where(or_(*same))))
    asked = (order.kind, order.currency, order.amount_minor, order.from_account, order.to_account, order.rail)
    names = ("kind", "currency", "ordered_minor", "from_account", "to_account", "rail")
    if len(found) != 1 or tuple(found[0][name] for name in names) != asked:
        raise Problem(Code.EXISTS, "reference: belongs to another payment")
    return found[0]


# --- what rails tell, and the second person ----------------------------------------------------------


async def rail_event(
    context: Context, payment: Mapping[str, Any], event: Event, *, reason: str = "", rail_reference: str = ""
) -> tuple[Outcome, str]:
    """Take what a rail tells of its payment: any order, any number of times. Say what came of it, and why not.

    A refusal (DECLINE) of money that is held gives the hold up. What cannot be done and will not change by waiting is
    a case for people. Postings are planned; settle `groups_of(row)` after the commit, or leave it to the worker.
    """
    row = await lock(context, payment["payment_id"])
    if event.kind is Kind.DECLINE and row["mode"] == "held":
        event = Event(event.id, Kind.VOID)
    if rail_reference and not row["rail_reference"]:
        await events.change(context, row, rail_reference=rail_reference)
    return await events.tell(context, row, event, f"rail:{row['rail']}", reason)


async def _approve_payment(context: Context, payload: Mapping[str, Any]) -> Any:
    row = await lock(context, payload["payment_id"])
    for account_id, may in ((row["from_account"], accounts.can_pay), (row["to_account"], accounts.can_receive)):
        if account_id is not None:
            may(await accounts.by_id(context, account_id))
    await _start(context, row)
    return {"payment": row["number"]}


async def _refuse_payment(context: Context, payload: Mapping[str, Any]) -> Any:
    row = await lock(context, payload["payment_id"])
    await decline(context, row, "not_approved")
    return {"payment": row["number"]}


approvals.register(approvals.Kind("payment", "payments.approve", _approve_payment, _refuse_payment))


# --- reading --------------------------------------------------------------------------------------


async def get(context: Context, number: str, *, lock_: bool = False) -> Row:
    """One payment by its number; Problem when there is none."""
    query = select(payments).where(payments.c.number == number)
    found = rows_of(await context.connection.execute(query.with_for_update(key_share=True) if lock_ else query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no payment {number}")
    return found[0]


async def by_rail_reference(context: Context, rail: str, reference: str) -> Row | None:
    """The payment that a rail knows under its reference."""
    query = select(payments).where(payments.c.rail == rail, payments.c.rail_reference == reference)
    found = rows_of(await context.connection.execute(query.order_by(payments.c.payment_id).limit(1)))
    return found[0] if found else None


async def events_of(context: Context, payment_id: int) -> list[Row]:
    """What has happened to a payment, in the order in which it was told."""
    query = select(payment_events).where(payment_events.c.payment_id == payment_id)
    return rows_of(await context.connection.execute(query.order_by(payment_events.c.place)))


async def listed(
    context: Context,
    *,
    account_id: int | None = None,
    customer_id: int | None = None,
    state: str = "",
    kind: str = "",
    rail: str = "",
    reference: str = "",
    first_day: date | None = None,
    last_day: date | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Row]:
    """Payments newest first, from `before` back."""
    query = select(payments).order_by(payments.c.payment_id.desc()).limit(limit)
    if account_id is not None:
        query = query.where(or_(payments.c.from_account == account_id, payments.c.to_account == account_id))
    if customer_id is not None:
        query = query.where(payments.c.customer_id == customer_id)
    exact = {"state": state, "kind": kind, "rail": rail, "reference": reference}
    for name, wanted in exact.items():
        if wanted:
            query = query.where(payments.c[name] == wanted)
    if first_day is not None:
        query = query.where(payments.c.business_date >= first_day)
    if last_day is not None:
        query = query.where(payments.c.business_date <= last_day)
    if before is not None:
        query = query.where(payments.c.payment_id < before)
    return rows_of(await context.connection.execute(query))


def source_of(context: Context) -> str:
    """Say who an event comes from."""
    return f"user:{context.actor.user_id}" if context.actor.user_id is not None else "system"
