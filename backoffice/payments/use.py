"""How much of a customer's limits is used: counted in SQL under a lock, so that it is exact under concurrency.

Whoever counts holds the customer's lock row of the day until the commit: two payments at the same time cannot both
see the room that is left for one.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.payments.limits import Breach, Use, check
from backoffice.payments.rules import Rules
from backoffice.payments.tables import payment_use

_KEY = ["customer_id", "day", "currency", "channel"]


async def take(
    context: Context, rules: Rules, customer_id: int, day: date, *, channel: str, currency: str, amount_minor: int
) -> list[Breach]:
    """Count a payment; the limits that it would break otherwise, and then nothing is counted."""
    of_day = {"customer_id": customer_id, "day": day, "currency": currency}
    lock = insert(payment_use).values(**of_day, channel="")
    await context.connection.execute(
        lock.on_conflict_do_update(index_elements=_KEY, set_={"count": payment_use.c.count})
    )
    used = await of(context, customer_id, day, currency)
    breaches = check(rules.limits(), used, channel=channel, currency=currency, amount_minor=amount_minor)
    if not breaches:
        add = insert(payment_use).values(**of_day, channel=channel, amount_minor=amount_minor, count=1)
        more = {
            "amount_minor": payment_use.c.amount_minor + add.excluded.amount_minor,
            "count": payment_use.c.count + 1,
        }
        await context.connection.execute(add.on_conflict_do_update(index_elements=_KEY, set_=more))
    return breaches


async def of(context: Context, customer_id: int, day: date, currency: str) -> dict[str, Use]:
    """Give a customer's use of a day by channel."""
    query = select(payment_use).where(
        payment_use.c.customer_id == customer_id,
        payment_use.c.day == day,
        payment_use.c.currency == currency,
        payment_use.c.channel != "",
    )
    rows = rows_of(await context.connection.execute(query))
    return {row["channel"]: Use(row["amount_minor"], row["count"]) for row in rows}


async def give_back(context: Context, payment: Mapping[str, Any]) -> None:
    """Take a payment out of the count, if it was counted: it did not come about."""
    if payment["use_day"] is None:
        return
    at = (
        (payment_use.c.customer_id == payment["customer_id"])
        & (payment_use.c.day == payment["use_day"])
        & (payment_use.c.currency == payment["currency"])
        & (payment_use.c.channel == payment["channel"])
    )
    less = {
        "amount_minor": payment_use.c.amount_minor - payment["ordered_minor"],
        "count": payment_use.c.count - (0 if payment["kind"] == "bulk_item" else 1),  # a file counts once
    }
    await context.connection.execute(update(payment_use).where(at).values(**less))
