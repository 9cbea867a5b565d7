"""Planning: what the engine is to do, written in the transaction of the business change it belongs to.

A group is settled as a whole: two or more postings become one linked chain. Transfer ids are UUIDv7 chosen here, so
sending twice cannot post twice. Nothing is known of the outcome before the commit; see `settlement.py` for afterwards.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Sequence as Numbers
from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from backoffice import SCHEMA
from backoffice.context import Context
from backoffice.ledger import chart
from backoffice.ledger.tables import ledger_accounts, posting_groups, postings
from server.client import AMOUNT_ALL, AccountFlag, TransferFlag, uuid7

ALL_PENDING = -1
"""`amount_minor` of a post or void of everything that is pending."""

_NONE = TransferFlag(0)


@dataclass(frozen=True, slots=True)
class Posting:
    """One transfer. A post or void needs `pending_id` and its flag alone; its `amount_minor` is then ALL_PENDING.

    `code` is the kind of transaction, 1 … 65535; `timeout_s` is for pending transfers.
    """

    debit_account_id: int = 0
    credit_account_id: int = 0
    amount_minor: int = ALL_PENDING
    ledger: int = 0
    code: int = 0
    flags: TransferFlag = _NONE
    pending_id: uuid.UUID | None = None
    timeout_s: int = 0
    id: uuid.UUID = field(default_factory=uuid7)


ACCOUNT_NUMBERS = Numbers("ledger_account_ids", schema=SCHEMA)


async def plan(context: Context, kind: str, subject: str, items: Sequence[Posting]) -> uuid.UUID:
    """Plan postings that happen together or not at all; return the group's id.

    `kind`: whose `settled_by` handler is told of the outcome. `subject`: `kind:id` of the business object.
    Raises ValueError for an empty group or a posting that the engine could never take.
    """
    if not items:
        raise ValueError("items: a group needs a posting")
    resolving = TransferFlag.POST_PENDING_TRANSFER | TransferFlag.VOID_PENDING_TRANSFER
    for item in items:
        if item.flags & resolving:
            if item.pending_id is None:
                raise ValueError("pending_id: a post or a void needs one")
        elif item.amount_minor <= 0 or item.amount_minor >= AMOUNT_ALL:
            raise ValueError(f"amount_minor: {item.amount_minor} is not above zero")
        elif item.debit_account_id == item.credit_account_id:
            raise ValueError("credit_account_id: is the debit account too")
    group = uuid7()
    now = context.clock()
    await context.connection.execute(
        insert(posting_groups).values(id=group, kind=kind, subject=subject, user_id=context.actor.user_id, made_at=now)
    )
    await context.connection.execute(
        insert(postings),
        [
            {
                "id": item.id,
                "group_id": group,
                "position": position,
                "debit_account_id": item.debit_account_id,
                "credit_account_id": item.credit_account_id,
                "amount_minor": item.amount_minor,
                "ledger": item.ledger,
                "code": item.code,
                "flags": int(item.flags & ~TransferFlag.LINKED),
                "pending_id": item.pending_id,
                "timeout_s": item.timeout_s,
            }
            for position, item in enumerate(items)
        ],
    )
    return group


async def open_account(
    context: Context, owner: str, code: int = 2011, ledger: int = 156, flags: AccountFlag = chart.CUSTOMER_DEPOSIT
) -> int:
    """Plan a new account of the engine and return its number; usable in postings of the same transaction."""
    number = int((await context.connection.execute(select(ACCOUNT_NUMBERS.next_value()))).scalar_one())
    await context.connection.execute(
        insert(ledger_accounts).values(
            id=number, ledger=ledger, code=code, flags=int(flags), owner=owner, made_at=context.clock()
        )
    )
    return number


async def own(context: Context, code: int, ledger: int = 156, part: int = 0) -> int:
    """Give the institution's own account of the chart, planned on first use."""
    number = chart.own_account(code, ledger, part)
    known = await context.connection.scalar(select(ledger_accounts.c.id).where(ledger_accounts.c.id == number))
    if known is None:
        row = {
            "id": number,
            "ledger": ledger,
            "code": code,
            "flags": 0,
            "owner": "institution",
            "made_at": context.clock(),
        }
        await context.connection.execute(upsert(ledger_accounts).values(row).on_conflict_do_nothing())
    return number
