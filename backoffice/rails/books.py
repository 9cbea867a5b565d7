"""The ledger's side of a rail: what the engine has posted on its settlement account, under the rail's names.

What counts is in the engine; PostgreSQL only says to which payment a transfer belongs. A transfer that nobody here has
planned is an item without a name, and so becomes a difference.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import select

from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.ledger.chart import own_account
from backoffice.ledger.gateway import Gateway
from backoffice.ledger.tables import ledger_accounts, posting_groups, postings
from backoffice.money import CURRENCIES, LEDGERS
from backoffice.payments.limits import CHINA, day_of
from backoffice.payments.reconcile import LedgerItem
from backoffice.payments.tables import payments
from backoffice.rails.adapters import SETTLEMENT_LINE, HttpRail, name_at_rail
from server.client import TransferFlag, TransferView

PAGE: Final = 8_000
IDS_MAX: Final = 5_000
NOT_MOVING: Final = TransferFlag.PENDING | TransferFlag.VOID_PENDING_TRANSFER
NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Wrong:
    """A payment whose row and whose transfers say different sums. Signed as the file's items."""

    number: str
    payment_id: int
    currency: str
    row_minor: int
    engine_minor: int


@dataclass(frozen=True, slots=True)
class Books:
    """The movements of some days, and payments that are not what the engine says."""

    items: tuple[LedgerItem, ...]
    wrong: tuple[Wrong, ...]


def _ns(day: date) -> int:
    """Nanoseconds at which a day in China begins."""
    return int(datetime.combine(day, time(), CHINA).timestamp()) * NS


async def read(  # noqa: PLR0917
    context: Context, gateway: Gateway, rail: HttpRail, first: date, day: date, last: date, done: frozenset[uuid.UUID]
) -> Books:
    """Read the days from first to last. Raises ClientError when the engine does not answer.

    Transfers that are `done` have found their other side: those of `day` still count for the sums of their payments,
    others are left out.
    """
    accounts = {own_account(SETTLEMENT_LINE, ledger, rail.part): ledger for ledger in LEDGERS.values()}
    known = select(ledger_accounts.c.id).where(ledger_accounts.c.id.in_(accounts))
    numbers = [row["id"] for row in rows_of(await context.connection.execute(known))]
    moved: dict[uuid.UUID, tuple[TransferView, int]] = {}
    for number in numbers:
        for view in await _transfers(gateway, number, _ns(first), _ns(last + timedelta(days=1)) - 1):
            if view.id not in done or _day(view) == day:
                moved[view.id] = (view, number)
    subjects = await _subjects(context, list(moved))
    rows = await _payments(context, set(subjects.values()))
    items = []
    for number, (view, account) in moved.items():
        subject = subjects.get(number, "")
        if number in done or subject.startswith("rail_"):
            continue  # settlements and corrections are ours alone
        row = rows.get(subject)
        name = name_at_rail(row) if row is not None else ""
        items.append(LedgerItem(str(number), name, _signed(view, account), CURRENCIES[accounts[account]], _day(view)))
    wrong = await _wrong(context, gateway, list(rows.values()), set(numbers))
    return Books(tuple(items), wrong)


def _day(view: TransferView) -> date:
    return day_of(datetime.fromtimestamp(view.timestamp / NS, UTC))


async def _transfers(gateway: Gateway, account: int, first_ns: int, last_ns: int) -> list[TransferView]:
    found: list[TransferView] = []
    client = await gateway.client()
    while True:
        part = await client.get_account_transfers(
            account, timestamp_min=first_ns, timestamp_max=last_ns, limit=PAGE, debits=True, credits=True
        )
        found += [view for view in part if not view.flags & NOT_MOVING]
        if len(part) < PAGE:
            return found
        first_ns = part[-1].timestamp + 1


def _signed(view: TransferView, account: int) -> int:
    return view.amount if view.debit_account_id == account else -view.amount


async def _subjects(context: Context, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Say what each transfer was planned for."""
    found: dict[uuid.UUID, str] = {}
    for start in range(0, len(ids), IDS_MAX):
        query = (
            select(postings.c.id, posting_groups.c.subject)
            .join(posting_groups, posting_groups.c.id == postings.c.group_id)
            .where(postings.c.id.in_(ids[start : start + IDS_MAX]))
        )
        found |= {row["id"]: row["subject"] for row in rows_of(await context.connection.execute(query))}
    return found


async def _payments(context: Context, subjects: set[str]) -> dict[str, Mapping[str, Any]]:
    ids = sorted(int(subject[8:]) for subject in subjects if subject.startswith("payment:"))
    found: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(ids), IDS_MAX):
        query = select(payments).where(payments.c.payment_id.in_(ids[start : start + IDS_MAX]))
        found |= {f"payment:{row['payment_id']}": row for row in rows_of(await context.connection.execute(query))}
    return found


async def _wrong(
    context: Context, gateway: Gateway, rows: Sequence[Mapping[str, Any]], accounts: set[int]
) -> tuple[Wrong, ...]:
    """Compare the sums in the rows of payments with all transfers of theirs that the engine has."""
    wrong = []
    for start in range(0, len(rows), 500):
        part = {f"payment:{row['payment_id']}": row for row in rows[start : start + 500] if row["in_flight"] is None}
        query = (
            select(postings.c.id, posting_groups.c.subject)
            .join(posting_groups, posting_groups.c.id == postings.c.group_id)
            .where(posting_groups.c.subject.in_(part))
        )
        subject_of = {row["id"]: row["subject"] for row in rows_of(await context.connection.execute(query))}
        sums = dict.fromkeys(part, 0)
        for number, view in (await gateway.transfers(list(subject_of))).items():
            account = next((each for each in (view.debit_account_id, view.credit_account_id) if each in accounts), None)
            if account is not None and not view.flags & NOT_MOVING:
                sums[subject_of[number]] += _signed(view, account)
        for subject, row in part.items():
            net = 0 if row["state"] == "reversed" else row["captured_minor"] - row["refunded_minor"]
            told = -net if row["from_account"] is not None else net
            if told != sums[subject]:
                wrong.append(Wrong(row["number"], row["payment_id"], row["currency"], told, sums[subject]))
    # A payment that went on between the two looks is no difference.
    after = await _payments(context, {f"payment:{each.payment_id}" for each in wrong})
    before = {row["payment_id"]: row["version"] for row in rows}
    return tuple(each for each in wrong if after[f"payment:{each.payment_id}"]["version"] == before[each.payment_id])
