"""What a customer, everybody with a role, or one user is to know. Written with the change that it tells of."""

from typing import Any

from sqlalchemy import BigInteger, Column, Table, Text, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB

from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.tables import MOMENT, metadata

notices = Table(
    "notices",
    metadata,
    Column("notice_id", BigInteger, primary_key=True),
    Column("audience", Text),
    Column("kind", Text),
    Column("detail", JSONB),
    Column("made_at", MOMENT),
    Column("read_at", MOMENT),
)


async def notify(context: Context, audience: str, kind: str, detail: dict[str, Any]) -> None:
    """Write a notice for `customer:ID`, `role:NAME` or `user:ID`. No personal data beyond numbers belongs into it."""
    values = {"audience": audience, "kind": kind, "detail": detail, "made_at": context.clock()}
    await context.connection.execute(insert(notices).values(**values))


async def listed(context: Context, audiences: list[str], before: int | None, limit: int) -> list[dict[str, Any]]:
    """Notices for any of the audiences, newest first."""
    query = select(notices).where(notices.c.audience.in_(audiences)).order_by(notices.c.notice_id.desc()).limit(limit)
    if before is not None:
        query = query.where(notices.c.notice_id < before)
    return rows_of(await context.connection.execute(query))


async def read(context: Context, notice_id: int, audiences: list[str]) -> bool:
    """Mark one as read; False when there is none for these audiences."""
    at = (notices.c.notice_id == notice_id) & notices.c.audience.in_(audiences)
    done = await context.connection.execute(update(notices).where(at).values(read_at=context.clock()))
    return bool(done.rowcount)
