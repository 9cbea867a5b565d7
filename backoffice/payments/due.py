"""What time brings: payments whose rail opens, and holds that nobody has taken.

A hold of a payment that came by a rail is given up when it has run out. One that we sent out is not: the rail may have
carried it out. It is asked to give it up, and people are told.
"""

from typing import Final

from sqlalchemy import or_, select

from backoffice.background import Services, background, system
from backoffice.cases.service import open_case
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.payments import events
from backoffice.payments.rails_api import RAILS
from backoffice.payments.states import Event, Kind, State
from backoffice.payments.tables import payments

PORTION: Final = 20


@background("payments_due", every_s=5.0)
async def work(services: Services) -> bool:
    """Do one portion."""
    async with system(services) as context:
        return await take(context) == PORTION


async def take(context: Context) -> int:
    """Do what is due, a portion at most; rows that others work on are left to them. Return how many were done."""
    now = context.clock()
    unsent = payments.c.send_at.is_not(None) & (payments.c.send_at <= now) & payments.c.sent_at.is_(None)
    query = (
        select(payments)
        .where(
            payments.c.state.in_([State.CREATED, State.AUTHORISED]),
            payments.c.in_flight.is_(None),
            payments.c.approval_id.is_(None) | (payments.c.state == State.AUTHORISED),
            payments.c.rail.in_(list(RAILS)),
            or_(unsent, payments.c.expires_at <= now),
        )
        .order_by(payments.c.payment_id)
        .limit(PORTION)
        .with_for_update(key_share=True, skip_locked=True)
    )
    rows = rows_of(await context.connection.execute(query))
    for row in rows:
        if row["expires_at"] is not None and row["expires_at"] <= now:
            await _run_out(context, row)
        else:
            await events.send_when_due(context, row)
    return len(rows)


async def _run_out(context: Context, row: events.Row) -> None:
    if row["state"] == State.CREATED:
        await events.tell(context, row, Event("no-answer", Kind.DECLINE), "system", "no_answer")
        await RAILS[row["rail"]].void(context, row)
    elif row["channel"] == row["rail"] or row["sent_at"] is None:
        await events.tell(context, row, Event("expire", Kind.EXPIRE), "system", "expired")
    else:
        await events.change(context, row, expires_at=None)
        await RAILS[row["rail"]].void(context, row)
        await open_case(
            context, "payment", f"{row['number']}:no-answer", subject=f"payment:{row['number']}",
            customer_id=row["customer_id"], summary=f"rail:{row['rail']}: sent, and no answer; asked to give it up",
        )  # fmt: skip
