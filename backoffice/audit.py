"""The audit log: who did or saw what, each entry chained to the one before by SHA-256, nothing ever changed.

An entry belongs to the transaction of what it tells about: either both are there or neither. Whoever appends holds the
lock of the chain's end until the commit, so there are no gaps and no forks. The log is kept by triggers from changes
through SQL; what somebody changes below SQL, `verify` finds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.tables import audit_head, audit_log

PAGE_ROWS = 10_000
NOTHING = bytes(32)


def entry_hash(row: Mapping[str, Any]) -> bytes:
    """Hash an entry with the one before it. Lengths stand before the texts, so that no two entries look alike."""
    parts = [
        row["previous_hash"],
        str(row["entry"]).encode(),
        row["at"].isoformat().encode(),
        str(row["user_id"] or 0).encode(),
        *(row[name].encode() for name in ("user_name", "action", "subject", "detail", "address")),
    ]
    return sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


async def record(context: Context, action: str, subject: str, detail: Mapping[str, Any] | None = None) -> int:
    """Append an entry and return its number. `detail` must not hold personal data in the clear, nor secrets."""
    connection, actor = context.connection, context.actor
    head = (await connection.execute(select(audit_head).with_for_update())).mappings().one()
    row: dict[str, Any] = {
        "entry": head["entry"] + 1,
        "at": context.clock(),
        "user_id": actor.user_id,
        "user_name": actor.name,
        "action": action,
        "subject": subject,
        "detail": json.dumps(detail or {}, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
        "address": actor.address,
        "previous_hash": head["hash"],
    }
    row["hash"] = entry_hash(row)
    await connection.execute(insert(audit_log).values(row))
    await connection.execute(update(audit_head).values(entry=row["entry"], hash=row["hash"]))
    return int(row["entry"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found: how many entries are good, and what is wrong with the first that is not."""

    entries: int
    fault: str = ""


async def verify(connection: AsyncConnection) -> Verdict:
    """Read the whole chain, and compare its end with the head."""
    previous, number = NOTHING, 0
    while True:
        page = rows_of(
            await connection.execute(
                select(audit_log).where(audit_log.c.entry > number).order_by(audit_log.c.entry).limit(PAGE_ROWS)
            )
        )
        for row in page:
            if row["entry"] != number + 1:
                return Verdict(number, f"entry {number + 1} is missing")
            if row["previous_hash"] != previous:
                return Verdict(number, f"entry {row['entry']} does not follow the one before it")
            if row["hash"] != entry_hash(row):
                return Verdict(number, f"entry {row['entry']} has been changed")
            number, previous = row["entry"], row["hash"]
        if len(page) < PAGE_ROWS:
            break
    head = (await connection.execute(select(audit_head))).mappings().one()
    if (head["entry"], head["hash"]) != (number, previous):
        return Verdict(number, f"entries behind {number} are missing: there were {head['entry']}")
    return Verdict(number)


async def search(
    context: Context,
    *,
    subject: str = "",
    user_name: str = "",
    action: str = "",
    first_at: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Entries newest first, from `before` back; `action` may end with * for all that begin so."""
    query = select(audit_log).order_by(audit_log.c.entry.desc()).limit(limit)
    if subject:
        query = query.where(audit_log.c.subject == subject)
    if user_name:
        query = query.where(audit_log.c.user_name == user_name)
    if action.endswith("*"):
        query = query.where(audit_log.c.action.startswith(action[:-1], autoescape=True))
    elif action:
        query = query.where(audit_log.c.action == action)
    if first_at is not None:
        query = query.where(audit_log.c.at >= first_at)
    if before is not None:
        query = query.where(audit_log.c.entry < before)
    return rows_of(await context.connection.execute(query))
