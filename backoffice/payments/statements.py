"""Statements of accounts: what the engine has booked, line by line with the balance after each, and why.

Money and moments are the engine's history; what the lines were for is looked up here. A day is one in China. The
statement proves itself: opening balance and lines make the balance that the engine had at the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import select

from backoffice import parameters
from backoffice.accounts.tables import accounts as account_rows
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.ledger.chart import CHART, own_account_of
from backoffice.ledger.gateway import Gateway
from backoffice.ledger.tables import posting_groups, postings
from backoffice.payments.iso20022.statement import Entry, Statement
from backoffice.payments.iso20022.values import NOT_PROVIDED, Bank, Party
from backoffice.payments.limits import CHINA
from backoffice.payments.outside import masked_account, masked_name, party_of
from backoffice.payments.postings import CODES, FEE, REVERSAL
from backoffice.payments.tables import payments
from backoffice.problems import Code, Problem, invalid
from server.client import TransferFlag, TransferView

PAGE: Final = 8000
LINES_MAX: Final = 100_000
DAYS_MAX: Final = 366
NOBODY: Final = Party()
_FAMILIES: Final = {
    CODES["deposit"]: ("PMNT", "CNTR", "CDPT"),
    CODES["withdrawal"]: ("PMNT", "CNTR", "CWDL"),
    CODES["card"]: ("PMNT", "CCRD", "POSD"),
    FEE: ("ACMT", "MDOP", "CHRG"),
}
"""Bank transaction codes of ISO 20022 (external code set); transfers are told apart by their side."""


@dataclass(frozen=True, slots=True)
class Line:
    """One booked line; `amount_minor` above zero is a credit."""

    at: datetime
    amount_minor: int
    balance_minor: int
    code: int
    transfer_id: str
    payment: str = ""
    reference: str = ""
    purpose: str = ""
    other: Party = NOBODY
    reversal: bool = False


@dataclass(frozen=True, slots=True)
class Paper:
    """A statement: both days are included."""

    account: str
    currency: str
    first_day: date
    last_day: date
    opening_minor: int
    closing_minor: int
    lines: tuple[Line, ...]


def _nanoseconds(day: date) -> int:
    """Give the first moment of a day in China."""
    start = datetime.combine(day, time(), CHINA)
    return (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


async def make(
    context: Context, gateway: Gateway, account: Mapping[str, Any], first_day: date, last_day: date
) -> Paper:
    """Write a statement. Problem for days that make none; ClientError when the engine does not answer."""
    if last_day < first_day:
        raise invalid("to", f"is before {first_day}")
    if (last_day - first_day).days >= DAYS_MAX:
        raise invalid("to", f"is more than {DAYS_MAX} days behind from")
    number, start, end = account["account_id"], _nanoseconds(first_day), _nanoseconds(last_day + timedelta(days=1))
    client = await gateway.client()
    views = await _booked(client, number, start, end)
    opening = await _balance(client, number, start - 1)
    told = await _told(context, [view.id for view in views])
    others = {view.debit_account_id for view in views} | {view.credit_account_id for view in views}
    parties = await _parties(context, others)
    balance, lines = opening, []
    for view in views:
        amount = view.amount if view.credit_account_id == number else -view.amount
        balance += amount
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=view.timestamp // 1000)
        other = view.debit_account_id if amount > 0 else view.credit_account_id
        more = told.get(view.id, {})
        if more.get("other") is None or view.code == FEE:
            more = more | {"other": parties[other]}
        lines.append(Line(at, amount, balance, view.code, str(view.id), reversal=view.code == REVERSAL, **more))
    closing = await _balance(client, number, end - 1)
    if closing != balance:
        # It moved while it was read: the end is not over yet. Only what was read is told.
        if end <= (context.clock() - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000:
            raise Problem(Code.INTERNAL, f"the lines of {account['number']} do not lead to its balance")
        closing = balance
    return Paper(account["number"], account["currency"], first_day, last_day, opening, closing, tuple(lines))


async def _booked(client: Any, account_id: int, start: int, end: int) -> list[TransferView]:
    """Give what moved money for good; holds and what gave them up are no lines."""
    found: list[TransferView] = []
    while True:
        views = await client.get_account_transfers(account_id, timestamp_min=start, timestamp_max=end - 1, limit=PAGE)
        for view in views:
            flags = TransferFlag(view.flags)
            if not flags & (TransferFlag.PENDING | TransferFlag.VOID_PENDING_TRANSFER):
                found.append(view)
        if len(found) > LINES_MAX:
            raise invalid("to", f"more than {LINES_MAX} lines: choose fewer days")
        if len(views) < PAGE:
            return found
        start = views[-1].timestamp + 1


async def _balance(client: Any, account_id: int, until: int) -> int:
    views = await client.get_account_balances(account_id, timestamp_max=until, limit=1, reversed=True)
    return int(views[0].balance) if views else 0


async def _told(context: Context, ids: Sequence[Any]) -> dict[Any, dict[str, Any]]:
    """What payments the lines belong to."""
    found: dict[Any, dict[str, Any]] = {}
    for at in range(0, len(ids), 10_000):
        query = (
            select(postings.c.id, posting_groups.c.subject)
            .join(posting_groups, posting_groups.c.id == postings.c.group_id)
            .where(postings.c.id.in_(ids[at : at + 10_000]), posting_groups.c.kind == "payments")
        )
        of = {row.id: int(row.subject.removeprefix("payment:")) for row in await context.connection.execute(query)}
        rows = await context.connection.execute(select(payments).where(payments.c.payment_id.in_(set(of.values()))))
        of_number = {row["payment_id"]: row for row in rows_of(rows)}
        for transfer, number in of.items():
            row = of_number[number]
            told = {"payment": row["number"], "reference": row["reference"], "purpose": row["purpose"]}
            found[transfer] = told | {"other": await party_of(context, row)}
    return found


async def _parties(context: Context, ids: set[int]) -> dict[int, Party]:
    """Name the other sides within the house: our own accounts by the chart, customers' by their numbers."""
    query = select(account_rows.c.account_id, account_rows.c.number).where(account_rows.c.account_id.in_(ids))
    numbers = {row.account_id: row.number for row in await context.connection.execute(query)}
    found = {}
    for each in ids:
        own = own_account_of(each)
        found[each] = Party(CHART[own[1]].name_zh) if own is not None else Party("", numbers.get(each, ""))
    return found


async def our_bank(context: Context, day: date) -> Bank:
    """Give the institution as messages name it."""
    bic, member, name = [
        await parameters.value(context, f"institution.{part}", day) for part in ("bic", "member", "name")
    ]
    return Bank(bic, member, name)


def message_of(paper: Paper, identification: str, *, masked: bool = True) -> Statement:
    """Give the statement as ISO 20022 has it."""
    return Statement(
        identification,
        Party("", paper.account),
        paper.currency,
        tuple(_entry(line, masked) for line in paper.lines),
        paper.opening_minor,
        paper.closing_minor,
        paper.first_day,
        paper.last_day,
    )


def _entry(line: Line, masked: bool) -> Entry:
    day = line.at.astimezone(CHINA).date()
    other = line.other
    if masked and other.account:
        other = Party(masked_name(other.name), masked_account(other.account), bank=other.bank)
    moves = ("PMNT", "RCDT" if line.amount_minor > 0 else "ICDT", "DMCT")
    family = _FAMILIES.get(line.code, moves)
    return Entry(
        line.transfer_id.replace("-", ""), line.amount_minor, day, day, line.reference or NOT_PROVIDED, line.payment,
        other, line.purpose, family, line.reversal,
    )  # fmt: skip
