"""Settlement: planned groups go to the engine, and its answer becomes a recorded outcome, exactly once.

A group's row is locked while it is sent, so two workers never settle one group. The outcome, the state of the business
object (the handler of the group's kind) and its audit entry are one commit. Whatever happens between the engine's
answer and that commit, the group is still planned and is sent again with the same ids: the engine then answers
`exists` for what it did, and `id_already_failed` for a transfer that it refused for a reason of the moment.
"""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backoffice.context import Context
from backoffice.ledger.plan import ALL_PENDING
from backoffice.ledger.tables import ledger_accounts, posting_groups, postings
from server.client import AMOUNT_ALL, Account, AccountFlag, Client, ClientError, Transfer, TransferFlag

log = structlog.get_logger("tongbao.office.ledger")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a group. `statuses`: one engine status per posting, by its id."""

    group: uuid.UUID
    kind: str
    subject: str
    posted: bool
    statuses: dict[uuid.UUID, str]

    @property
    def reason(self) -> str:
        """The status that made the engine refuse; empty for a posted group."""
        if self.posted:
            return ""
        names = [name for name in self.statuses.values() if name not in ("created", "exists", "linked_event_failed")]
        return names[0] if names else "linked_event_failed"


Handler = Callable[[Context, Outcome], Awaitable[None]]
"""Takes the Context of the settling transaction and the outcome; must only use that transaction."""
HANDLERS: dict[str, Handler] = {}


def settled_by(kind: str) -> Callable[[Handler], Handler]:
    """Register who is told when a group of this kind is settled (once, in the transaction that records it)."""

    def register(handler: Handler) -> Handler:
        if HANDLERS.setdefault(kind, handler) is not handler:
            raise ValueError(f"kind {kind!r} has a handler already")
        return handler

    return register


async def lock_group(connection: AsyncConnection, group: uuid.UUID | None = None) -> Any:
    """Lock one planned group: the given one (waits for whoever has it), or the oldest that nobody has and that may go.

    A group whose posting posts or voids a pending transfer waits until that one is settled.
    """
    waits = (
        "NOT EXISTS (SELECT FROM office.postings p JOIN office.postings q ON q.id = p.pending_id "
        "JOIN office.posting_groups h ON h.id = q.group_id "
        "WHERE p.group_id = g.id AND h.state = 'planned' AND h.id <> g.id)"
    )
    one = "g.id = :group" if group else "true"
    skip = "" if group else "SKIP LOCKED"
    query = text(
        f"SELECT g.id, g.kind, g.subject, g.attempts FROM office.posting_groups g WHERE g.state = 'planned' AND {one} "  # noqa: S608
        f"AND {waits} ORDER BY g.attempts > 0, g.seq LIMIT 1 FOR UPDATE OF g {skip}"
    )
    return (await connection.execute(query, {"group": group} if group else {})).first()


async def create_accounts(connection: AsyncConnection, client: Client, group: uuid.UUID | None = None) -> None:
    """Make the planned accounts that a group uses, or any that are planned; safe to repeat."""
    wanted = (
        select(ledger_accounts).where(ledger_accounts.c.state == "planned").order_by(ledger_accounts.c.id).limit(1000)
    )
    if group is not None:
        used = (
            select(postings.c.debit_account_id)
            .where(postings.c.group_id == group)
            .union(select(postings.c.credit_account_id).where(postings.c.group_id == group))
        )
        wanted = wanted.where(ledger_accounts.c.id.in_(used))
    rows = (await connection.execute(wanted)).all()
    if not rows:
        return
    results = await client.create_accounts([Account(r.id, r.ledger, r.code, AccountFlag(r.flags)) for r in rows])
    for row, result in zip(rows, results, strict=True):
        name = result.status.name.lower()
        done = result.created_or_exists
        if not done:
            log.error("account_refused", account=row.id, status=name)
        await connection.execute(
            update(ledger_accounts)
            .where(ledger_accounts.c.id == row.id)
            .values(state="created" if done else "refused", status=name)
        )


async def send_group(connection: AsyncConnection, client: Client, group: Any) -> Outcome:
    """Send a locked group and record what the engine said. Raises ClientError when the outcome is not known."""
    await create_accounts(connection, client, group.id)
    query = select(postings).where(postings.c.group_id == group.id).order_by(postings.c.position)
    rows = (await connection.execute(query)).all()
    transfers = [
        Transfer(
            row.id,
            row.debit_account_id,
            row.credit_account_id,
            AMOUNT_ALL if row.amount_minor == ALL_PENDING else row.amount_minor,
            row.ledger,
            row.code,
            TransferFlag(row.flags) | (TransferFlag.LINKED if row is not rows[-1] else TransferFlag(0)),
            pending_id=row.pending_id or 0,
            timeout=row.timeout_s,
        )
        for row in rows
    ]
    # Another process, or this one before it was killed, may have sent them before.
    results = await client.settle_transfers(transfers, await client.create_transfers(transfers))
    statuses = {}
    for row, result in zip(rows, results, strict=True):
        statuses[row.id] = result.status.name.lower()
        await connection.execute(
            update(postings)
            .where(postings.c.id == row.id)
            .values(status=statuses[row.id], engine_timestamp=result.timestamp)
        )
    posted = all(result.created_or_exists for result in results)
    await connection.execute(
        update(posting_groups)
        .where(posting_groups.c.id == group.id)
        .values(state="posted" if posted else "refused", settled_at=datetime.now(UTC), attempts=group.attempts + 1)
    )
    return Outcome(group.id, group.kind, group.subject, posted, statuses)


async def note_failure(connection: AsyncConnection, group: uuid.UUID, error: ClientError) -> None:
    """Count an attempt without an outcome; the group stays planned."""
    await connection.execute(
        update(posting_groups)
        .where(posting_groups.c.id == group, posting_groups.c.state == "planned")
        .values(attempts=posting_groups.c.attempts + 1, last_error=f"{type(error).__name__}: {error}"[:500])
    )
