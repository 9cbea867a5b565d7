"""Standing orders: made, changed, stopped, and executed once for each due date.

Whatever is due on the business date is taken up by the work beside requests; `execute` is safe to be called by the end
of day, too.

A date is taken up in one transaction: its run (the key keeps it single), its payment, and the order's next date. So a
step that is cut off anywhere and started again goes on where it stopped. What became of a payment is told by the
payment itself; a lack of money may be tried again on the next working days.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Date, Integer, Sequence, Table, Text, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB

from backoffice import SCHEMA, audit, businessday, notices
from backoffice.accounts import service as accounts
from backoffice.background import Services, background, system
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.payments import service
from backoffice.payments.events import Row, groups_of, on_change
from backoffice.payments.iso20022.values import Party
from backoffice.payments.outside import document_of, party_of
from backoffice.payments.rails_api import rail_of
from backoffice.payments.schedule import Every, Schedule
from backoffice.payments.service import CALENDAR, Order
from backoffice.payments.states import State
from backoffice.problems import Code, Problem, invalid
from backoffice.products.calendar import Adjust
from backoffice.tables import MOMENT, metadata

PORTION: Final = 100
AGAIN: Final = frozenset({"exceeds_credits", "limit_day", "limit_count"})
"""Reasons that another day may cure."""
STANDING_IDS: Final = Sequence("standing_order_ids", schema=SCHEMA)
MakeContext = Callable[[], AbstractAsyncContextManager[Context]]

orders = Table(
    "standing_orders",
    metadata,
    Column("standing_id", BigInteger, primary_key=True),
    Column("customer_id", BigInteger),
    Column("from_account", BigInteger),
    Column("to_account", BigInteger),
    Column("outside", JSONB(none_as_null=True)),
    Column("rail", Text),
    Column("currency", Text),
    Column("amount_minor", BigInteger),
    Column("purpose", Text),
    Column("every", Text),
    Column("step", Integer),
    Column("on_day", Integer),
    Column("roll", Text),
    Column("first_on", Date),
    Column("last_on", Date),
    Column("times", Integer),
    Column("retries", Integer),
    Column("on_failure", Text),
    Column("state", Text),
    Column("reason", Text),
    Column("next_on", Date),
    Column("next_due", Date),
    Column("runs", Integer),
    Column("maker", BigInteger),
    Column("version", Integer),
    Column("made_at", MOMENT),
)
runs = Table(
    "standing_runs",
    metadata,
    Column("standing_id", BigInteger, primary_key=True),
    Column("nominal_on", Date, primary_key=True),
    Column("due_on", Date),
    Column("attempt", Integer),
    Column("state", Text),
    Column("payment_id", BigInteger),
    Column("retry_on", Date),
    Column("reason", Text),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be changed later: amount, purpose, dates, and what a failure does."""

    amount_minor: int
    schedule: Schedule
    purpose: str = ""
    retries: int = 0
    on_failure: str = "skip"


def schedule_of(row: Mapping[str, Any]) -> Schedule:
    """Read an order's dates."""
    return Schedule(
        Every(row["every"]), row["first_on"], row["step"], row["on_day"], Adjust(row["roll"]), row["last_on"],
        row["times"],
    )  # fmt: skip


def _columns(terms: Terms) -> dict[str, Any]:
    if terms.amount_minor <= 0:
        raise invalid("amount", "is not above zero")
    plan = terms.schedule
    return {
        "amount_minor": terms.amount_minor, "purpose": terms.purpose, "retries": terms.retries,
        "on_failure": terms.on_failure, "every": str(plan.every), "step": plan.step, "on_day": plan.on_day,
        "roll": str(plan.roll), "first_on": plan.first_on, "last_on": plan.last_on, "times": plan.times,
    }  # fmt: skip


async def create(
    context: Context,
    from_account: Mapping[str, Any],
    to_account: Mapping[str, Any] | None,
    terms: Terms,
    *,
    outside: Party | None = None,
    rail: str = "",
) -> Row:
    """Make an order. It begins on a coming business date: today's end of day may be at work already."""
    accounts.can_pay(from_account)
    if to_account is not None:
        if to_account["account_id"] == from_account["account_id"]:
            raise invalid("to_account", "is the account that pays")
        if to_account["currency"] != from_account["currency"]:
            raise invalid("to_account", f"is kept in {to_account['currency']}, not in {from_account['currency']}")
        accounts.can_receive(to_account)
    elif outside is None:
        raise invalid("to_account", "give either this or outside")
    else:
        rail_of(rail)
    if terms.schedule.first_on <= await businessday.today(context):
        raise invalid("first_on", "is not after the business date")
    following = terms.schedule.next_after(None, 0, CALENDAR)
    if following is None:
        raise invalid("last_on", "no date falls before it")
    number = int((await context.connection.execute(select(STANDING_IDS.next_value()))).scalar_one())
    values = _columns(terms) | {
        "customer_id": from_account["customer_id"], "from_account": from_account["account_id"],
        "to_account": to_account["account_id"] if to_account is not None else None,
        "outside": document_of(context, f"standing_orders:{number}", outside),
        "standing_id": number,
        "rail": rail, "currency": from_account["currency"], "next_on": following[0], "next_due": following[1],
        "maker": context.actor.user_id, "made_at": context.clock(),
    }  # fmt: skip
    row = rows_of(await context.connection.execute(insert(orders).values(**values).returning(orders)))[0]
    detail = {"amount_minor": terms.amount_minor, "every": row["every"], "first": str(following[0])}
    await audit.record(context, "standing.create", f"standing:{row['standing_id']}", detail)
    return row


async def get(context: Context, standing_id: int, *, lock: bool = False) -> Row:
    """One order; Problem when there is none."""
    query = select(orders).where(orders.c.standing_id == standing_id)
    found = rows_of(await context.connection.execute(query.with_for_update(key_share=True) if lock else query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no standing order {standing_id}")
    return found[0]


async def listed(
    context: Context, *, customer_id: int | None, account_id: int | None, state: str, before: int | None, limit: int
) -> list[Row]:
    """Orders newest first."""
    query = select(orders).order_by(orders.c.standing_id.desc()).limit(limit)
    for column, wanted in ((orders.c.customer_id, customer_id), (orders.c.from_account, account_id)):
        if wanted is not None:
            query = query.where(column == wanted)
    if state:
        query = query.where(orders.c.state == state)
    if before is not None:
        query = query.where(orders.c.standing_id < before)
    return rows_of(await context.connection.execute(query))


async def runs_of(context: Context, standing_id: int, limit: int = 50) -> list[Row]:
    """What became of an order's newest dates."""
    query = select(runs).where(runs.c.standing_id == standing_id).order_by(runs.c.nominal_on.desc()).limit(limit)
    return rows_of(await context.connection.execute(query))


async def change(context: Context, standing_id: int, terms: Terms, version: int) -> Row:
    """Give an order other terms; dates that have been taken up stay as they were."""
    row = await _changeable(context, standing_id, version)
    values = _columns(terms)
    today = await businessday.today(context)
    behind = max((await context.connection.execute(_last_run(standing_id))).scalar() or today, today)
    following = terms.schedule.next_after(behind, row["runs"], CALENDAR)
    if following is None:
        raise invalid("last_on", "no date is left")
    values |= {"next_on": following[0], "next_due": following[1]}
    detail = {"amount_minor": terms.amount_minor, "next": str(following[0])}
    return await _write(context, row, values, "standing.change", detail)


async def stop(context: Context, standing_id: int, reason: str, version: int) -> Row:
    """Stop an order; what has been taken up is paid."""
    row = await _changeable(context, standing_id, version)
    values = {"state": "stopped", "reason": reason, "next_on": None, "next_due": None}
    return await _write(context, row, values, "standing.stop", {"reason": reason})


def _last_run(standing_id: int) -> Any:
    newest = select(runs.c.nominal_on).where(runs.c.standing_id == standing_id)
    return newest.order_by(runs.c.nominal_on.desc()).limit(1)


async def _changeable(context: Context, standing_id: int, version: int) -> Row:
    row = await get(context, standing_id, lock=True)
    if row["version"] != version:
        raise Problem(Code.CHANGED, f"standing order {standing_id} is at version {row['version']}")
    if row["state"] != "active":
        raise Problem(Code.STATE, f"standing order {standing_id} is {row['state']}", more={"state": row["state"]})
    return row


async def _write(context: Context, row: Row, values: dict[str, Any], action: str, detail: dict[str, Any]) -> Row:
    at = orders.c.standing_id == row["standing_id"]
    change_ = update(orders).where(at).values(**values, version=orders.c.version + 1).returning(orders)
    changed = rows_of(await context.connection.execute(change_))[0]
    await audit.record(context, action, f"standing:{row['standing_id']}", detail)
    return changed


# --- execution ------------------------------------------------------------------------------------


@background("standing_orders", every_s=30.0)
async def work(services: Services) -> bool:
    """Take up what is due on the business date, whenever the end of day has moved it on."""
    async with system(services) as context:
        day = await businessday.today(context)
    async for made in execute(lambda: system(services), day):
        for row in made:
            await services.gateway.settle(groups_of(row), 10.0)
    return False


async def execute(make_context: MakeContext, day: date) -> AsyncIterator[list[Row]]:
    """Take up every date that is due on or before a day, in portions; yield each portion's payments.

    Safe to be cut off anywhere, to be repeated, and to run twice at the same time. A day that the end of day has
    missed is caught up: each of its dates is paid once.
    """
    for portion in (_due_portion, _retry_portion):
        while True:
            async with make_context() as context:
                taken, made = await portion(context, day)
            if not taken:
                break
            yield made


async def _due_portion(context: Context, day: date) -> tuple[int, list[Row]]:
    query = (
        select(orders)
        .where(orders.c.state == "active", orders.c.next_due <= day)
        .order_by(orders.c.next_due, orders.c.standing_id)
        .limit(PORTION)
        .with_for_update(key_share=True, skip_locked=True)
    )
    found = rows_of(await context.connection.execute(query))
    made = []
    for row in found:
        run = {"standing_id": row["standing_id"], "nominal_on": row["next_on"], "due_on": row["next_due"]}
        await context.connection.execute(insert(runs).values(**run))
        made += await _pay(context, row, run | {"attempt": 1})
        after = schedule_of(row).next_after(row["next_on"], row["runs"] + 1, CALENDAR)
        values: dict[str, Any] = {"runs": row["runs"] + 1, "state": "active" if after else "finished"}
        values |= {"next_on": after[0], "next_due": after[1]} if after else {"next_on": None, "next_due": None}
        # A failure that stops the order may have come with the payment itself; it stays stopped.
        at = (orders.c.standing_id == row["standing_id"]) & (orders.c.state == "active")
        await context.connection.execute(update(orders).where(at).values(**values))
    return len(found), made


async def _retry_portion(context: Context, day: date) -> tuple[int, list[Row]]:
    query = (
        select(runs)
        .where(runs.c.state == "waiting", runs.c.retry_on <= day)
        .order_by(runs.c.standing_id, runs.c.nominal_on)
        .limit(PORTION)
        .with_for_update(skip_locked=True)
    )
    found = rows_of(await context.connection.execute(query))
    made = []
    for run in found:
        row = await get(context, run["standing_id"])
        at = (runs.c.standing_id == run["standing_id"]) & (runs.c.nominal_on == run["nominal_on"])
        again = {"attempt": run["attempt"] + 1, "state": "open", "retry_on": None, "payment_id": None}
        await context.connection.execute(update(runs).where(at).values(**again))
        made += await _pay(context, row, run | again)
    return len(found), made


async def _pay(context: Context, row: Row, run: Mapping[str, Any]) -> list[Row]:
    """Make the payment of an attempt; its cause keeps it single. Nobody is asked twice for what was agreed.

    What cannot be a payment any more (a rail that is gone) fails its date and does not hold up the others.
    """
    held, outside = row["to_account"] is None, await party_of(context, row)
    order = Order(
        "standing", "standing", row["amount_minor"], row["currency"], from_account=row["from_account"],
        to_account=row["to_account"], outside=outside, rail=row["rail"], mode="held" if held else "direct",
        cause=f"standing:{row['standing_id']}/{run['nominal_on']}/{run['attempt']}", purpose=row["purpose"],
        two_persons=False,
    )  # fmt: skip
    try:
        async with context.connection.begin_nested():
            return [await service.create(context, order)]
    except Problem as problem:
        at = (runs.c.standing_id == row["standing_id"]) & (runs.c.nominal_on == run["nominal_on"])
        reason = str(problem)[:500]
        await context.connection.execute(update(runs).where(at).values(state="failed", reason=reason))
        await _failed(context, row, None, reason)
        return []


@on_change
async def _told(context: Context, payment: Row) -> None:
    """Note what became of an attempt."""
    if not payment["cause"].startswith("standing:"):
        return
    name, nominal, _ = payment["cause"].removeprefix("standing:").split("/")
    at = (runs.c.standing_id == int(name)) & (runs.c.nominal_on == date.fromisoformat(nominal))
    state = State(payment["state"])
    values: dict[str, Any] = {"payment_id": payment["payment_id"]}
    if state in {State.AUTHORISED, State.CAPTURED}:
        values |= {"state": "paid", "reason": ""}
    elif state in {State.DECLINED, State.VOIDED, State.EXPIRED}:
        run = rows_of(await context.connection.execute(select(runs).where(at)))[0]
        row = await get(context, int(name), lock=True)
        values |= {"reason": payment["reason"]}
        if payment["reason"] in AGAIN and run["attempt"] <= row["retries"]:
            tomorrow = await businessday.today(context) + timedelta(days=1)
            values |= {"state": "waiting", "retry_on": CALENDAR.adjusted(tomorrow, Adjust.FOLLOWING)}
        else:
            values |= {"state": "failed"}
            await _failed(context, row, payment["number"], payment["reason"])
    else:
        return
    await context.connection.execute(update(runs).where(at).values(**values))


async def _failed(context: Context, row: Row, number: str | None, reason: str) -> None:
    """Tell the customer, and stop the order if that was agreed."""
    detail = {"standing_order": row["standing_id"], "payment": number, "reason": reason}
    await notices.notify(context, f"customer:{row['customer_id']}", "standing_order_failed", detail)
    if row["on_failure"] == "stop" and row["state"] == "active":
        values = {"state": "stopped", "reason": reason, "next_on": None, "next_due": None}
        await _write(context, row, values, "standing.stop", {"reason": reason})
