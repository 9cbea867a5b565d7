"""The day for which the institution books. It is not the calendar's: the end of day moves it on."""

from datetime import date

from sqlalchemy import Boolean, Column, Date, Table, select
from sqlalchemy.dialects.postgresql import insert

from backoffice.context import Context
from backoffice.payments.limits import day_of
from backoffice.tables import MOMENT, metadata

business_date = Table(
    "business_date",
    metadata,
    Column("single", Boolean, primary_key=True),
    Column("day", Date),
    Column("moved_at", MOMENT),
)


async def today(context: Context) -> date:
    """Give the business date; a new office begins with the day in China."""
    found: date | None = await context.connection.scalar(select(business_date.c.day))
    if found is None:
        now = context.clock()
        begin = insert(business_date).values(single=True, day=day_of(now), moved_at=now).on_conflict_do_nothing()
        await context.connection.execute(begin)
        found = await context.connection.scalar(select(business_date.c.day))
        assert found is not None
    return found
