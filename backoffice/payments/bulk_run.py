"""The execution of files of payments, in portions, by the work beside requests.

Independent items are payments of their own. Linked ones are held first, every one; when all are held they are
captured, and when one is not, all are given up: all or none, however many there are. Items to other banks leave only
then; what a rail refuses afterwards fails alone.

Each portion is one transaction under the batch's lock, and a payment's cause is unique: cut off anywhere and started
again, no item is paid twice. An item waits for its day of execution.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, update

from backoffice import audit, businessday, notices
from backoffice.background import Services, background, system
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.payments import events, service
from backoffice.payments.bulk import CHANNEL, change
from backoffice.payments.bulk_tables import batches, items
from backoffice.payments.events import Row, groups_of, on_change
from backoffice.payments.outside import party_of
from backoffice.payments.service import Order
from backoffice.payments.states import Event, Kind, State
from backoffice.problems import Problem

PORTION: Final = 50
AT_ONCE: Final = 4
LATER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Until the batch says so."""


@background("bulk_payments", every_s=2.0)
async def work(services: Services) -> bool:
    """Do one portion of each batch that is at work, and settle it."""
    async with system(services) as context:
        query = select(batches.c.batch_id).where(batches.c.state.in_(["running", "capturing", "undoing"]))
        found = list((await context.connection.execute(query.order_by(batches.c.batch_id))).scalars())
    more = False
    for batch_id in found:
        async with system(services) as context:
            done, groups = await portion(context, batch_id)
        gate = asyncio.Semaphore(AT_ONCE)

        async def settle(group: UUID, gate: asyncio.Semaphore = gate) -> None:
            async with gate:
                await services.gateway.settle([group], 10.0)

        await asyncio.gather(*(settle(group) for group in groups))
        more = more or done > 0
    return more


async def portion(context: Context, batch_id: int) -> tuple[int, list[UUID]]:
    """Take a batch one step on: how many items were moved, and the postings to settle. Nothing if others are at it."""
    query = select(batches).where(batches.c.batch_id == batch_id).with_for_update(key_share=True, skip_locked=True)
    found = rows_of(await context.connection.execute(query))
    if not found:
        return 0, []
    batch = found[0]
    if batch["state"] == "running":
        moved = await _pay(context, batch)
        if moved:
            return len(moved), [group for row in moved for group in groups_of(row)]
        return await _turn(context, batch), []
    if batch["state"] in {"capturing", "undoing"}:
        moved = await _resolve(context, batch)
        if moved:
            return len(moved), [group for row in moved for group in groups_of(row)]
        return await _finish(context, batch), []
    return 0, []


async def _pay(context: Context, batch: Row) -> list[Row]:
    """Make the payments of the next items whose day has come."""
    today = await businessday.today(context)
    query = select(items).where(items.c.batch_id == batch["batch_id"], items.c.state == "ready", items.c.day <= today)
    made = []
    for item in rows_of(await context.connection.execute(query.order_by(items.c.place).limit(PORTION))):
        at = (items.c.batch_id == item["batch_id"]) & (items.c.place == item["place"])
        await context.connection.execute(update(items).where(at).values(state="open"))
        held = batch["linked"] or item["to_account"] is None
        order = Order(
            "bulk_item", CHANNEL, item["amount_minor"], item["currency"], from_account=item["from_account"],
            to_account=item["to_account"], outside=await party_of(context, item), mode="held" if held else "direct",
            rail=batch["rail"] if item["to_account"] is None else "",
            cause=f"bulk:{item['batch_id']}/{item['place']}", purpose=item["remittance"], counted=False,
            two_persons=False, use_day=batch["use_day"], send_at=LATER if batch["linked"] else None,
        )  # fmt: skip
        try:
            async with context.connection.begin_nested():
                made.append(await service.create(context, order))
        except Problem as problem:
            failed = {"state": "failed", "reason": str(problem)[:500]}
            await context.connection.execute(update(items).where(at).values(**failed))
    return made


async def _turn(context: Context, batch: Row) -> int:
    """All that could be made is made: go on when nothing is open. Linked items are now captured, or given up."""
    counted = await _counts(context, batch["batch_id"])
    if counted.get("ready") or counted.get("open"):
        if not (batch["linked"] and counted.get("failed")):
            return 0
        # One has failed: those whose day has not come need not be tried.
        at = (items.c.batch_id == batch["batch_id"]) & (items.c.state == "ready")
        await context.connection.execute(update(items).where(at).values(state="failed", reason="not_linked"))
        if counted.get("open"):
            return 0
    if not batch["linked"]:
        return await _finish(context, batch)
    await change(context, batch, state="undoing" if counted.get("failed") else "capturing")
    return 1


async def _resolve(context: Context, batch: Row) -> list[Row]:
    """Capture, send or give up the next linked items that are held."""
    query = select(items.c.payment_id).where(
        items.c.batch_id == batch["batch_id"], items.c.state == "held", items.c.reason == ""
    )
    moved = []
    for payment_id in (await context.connection.execute(query.order_by(items.c.place).limit(PORTION))).scalars():
        row = await events.lock(context, payment_id)
        # The mark keeps it from being taken up again while its postings are on their way.
        at = items.c.payment_id == payment_id
        await context.connection.execute(update(items).where(at).values(reason=batch["state"]))
        if batch["state"] == "undoing":
            await events.tell(context, row, Event("unlink", Kind.VOID), "system", "not_linked")
        elif row["rail"]:
            await events.change(context, row, send_at=context.clock())
            await events.send_when_due(context, row)
        else:
            await events.tell(context, row, Event("link", Kind.CAPTURE, row["authorised_minor"]), "system")
        moved.append(row)
    return moved


async def _finish(context: Context, batch: Row) -> int:
    """Close a batch all of whose items have an end, and tell its customer."""
    counted = await _counts(context, batch["batch_id"])
    if counted.get("ready") or counted.get("open") or counted.get("held"):
        return 0
    await change(context, batch, state="done", done_at=context.clock())
    detail = {"batch": batch["batch_id"], "paid": counted.get("paid", 0), "failed": counted.get("failed", 0)}
    await notices.notify(context, f"customer:{batch['customer_id']}", "bulk_done", detail)
    await audit.record(context, "bulk.done", f"bulk:{batch['batch_id']}", detail)
    return 1


async def _counts(context: Context, batch_id: int) -> dict[str, int]:
    query = select(items.c.state, func.count()).where(items.c.batch_id == batch_id).group_by(items.c.state)
    return {row[0]: row[1] for row in await context.connection.execute(query)}


@on_change
async def _told(context: Context, payment: Row) -> None:
    """Note at the item what has become of its payment."""
    if not payment["cause"].startswith("bulk:"):
        return
    batch_id, place = payment["cause"].removeprefix("bulk:").split("/")
    at = (items.c.batch_id == int(batch_id)) & (items.c.place == int(place))
    values = {"payment_id": payment["payment_id"]}
    match State(payment["state"]):
        case State.AUTHORISED:
            values |= {"state": "held"}
        case State.CAPTURED:
            values |= {"state": "paid", "reason": ""}
        case State.DECLINED | State.VOIDED | State.EXPIRED | State.REVERSED:
            values |= {"state": "failed", "reason": payment["reason"] or payment["state"]}
        case _:
            return
    await context.connection.execute(update(items).where(at).values(**values))
