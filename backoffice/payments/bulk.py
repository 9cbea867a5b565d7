"""Files of payments: taken in with findings row by row, decided by a second person, reported on.

A file belongs to one customer, the owner of every account that it debits. Its limits count as a whole when it is
approved. `bulk_run.py` executes it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from backoffice import approvals, audit, businessday, parameters
from backoffice.accounts.numbers import ISSUER
from backoffice.accounts.tables import accounts as account_rows
from backoffice.context import Context
from backoffice.database import constraint_of, rows_of
from backoffice.money import Money
from backoffice.payments import use
from backoffice.payments.bulk_tables import batches, items
from backoffice.payments.events import Row
from backoffice.payments.iso20022 import interbank, status
from backoffice.payments.iso20022.initiation import Code as Reason_
from backoffice.payments.iso20022.initiation import File, Reason
from backoffice.payments.iso20022.initiation import Row as FileRow
from backoffice.payments.iso20022.status import Status, Verdict
from backoffice.payments.iso20022.values import NOT_PROVIDED, Bank, Party
from backoffice.payments.limits import day_of
from backoffice.payments.outside import document_of, party_of
from backoffice.payments.rails_api import RAILS
from backoffice.payments.rules import load
from backoffice.payments.tables import payments
from backoffice.problems import Code, Problem

CHANNEL: Final = "file"
AHEAD_DAYS: Final = 366
INSERT_ROWS: Final = 1000
NUMBER_LENGTH: Final = 19
REASONS: Final = {
    "exceeds_credits": "AM04", "limit_each": "AM02", "limit_day": "AM14", "limit_count": "AM14",
    "payer_account_closed": "AC04", "payee_account_closed": "AC07", "payer_account_frozen": "AC06",
    "payer_account_stopped": "AC06", "payee_account_frozen": "AC06",
}  # fmt: skip
"""Reasons of ours in ISO's external code set; others are told in words (NARR)."""


async def take(context: Context, file: File, content: bytes, *, linked: bool, rail: str = "") -> Row:
    """Take a file that has been read: its batch, with every finding. A file refused as a whole is kept as refused.

    Problem for a message that was sent before.
    """
    today = await businessday.today(context)
    rail = rail or str(await parameters.value(context, "payment.bulk_rail", today))
    rows, customer_id = await _checked(context, file, today, rail)
    reasons = list(file.reasons)
    if linked and any(row["reasons"] for row in rows):
        reasons.append(Reason(Reason_.OTHER, "file", "one row is refused, and all are linked"))
    accepted = [] if reasons else [row for row in rows if not row["reasons"]]
    if rows and not accepted and not reasons:
        reasons.append(Reason(Reason_.OTHER, "file", "no row can be taken up"))
    totals: dict[str, int] = {}
    for row in accepted:
        totals[row["currency"]] = totals.get(row["currency"], 0) + row["amount_minor"]
    if linked and accepted:
        last = max(row["day"] for row in accepted)  # all together, so on the last of their days
        for row in accepted:
            row["day"] = last
    values = {
        "customer_id": customer_id, "message": file.message, "message_id": file.message_id,
        "created_at": file.created_at, "sender": file.initiating_party, "digest": hashlib.sha256(content).hexdigest(),
        "linked": linked, "rail": rail, "state": "refused" if reasons else "waiting", "items": len(rows),
        "reasons": [_document(reason) for reason in reasons], "accepted": len(accepted), "totals": totals,
        "maker": context.actor.user_id, "made_at": context.clock(),
    }  # fmt: skip
    try:
        async with context.connection.begin_nested():
            batch = rows_of(await context.connection.execute(insert(batches).values(**values).returning(batches)))[0]
    except IntegrityError as error:
        if constraint_of(error) != "one_batch_a_message":
            raise
        raise Problem(Code.EXISTS, f"MsgId: {file.message_id!r} was sent before") from None
    for at in range(0, len(rows), INSERT_ROWS):
        part = [_sealed(context, batch["batch_id"], row) for row in rows[at : at + INSERT_ROWS]]
        await context.connection.execute(insert(items), part)
    if not reasons:
        sums = ", ".join(f"{Money(minor, currency)} {currency}" for currency, minor in totals.items())
        asked = await approvals.ask(
            context, "bulk", f"bulk:{batch['batch_id']}", f"{len(accepted)} payments of a file, {sums}",
            {"batch_id": batch["batch_id"]},
        )  # fmt: skip
        batch = await change(context, batch, approval_id=asked["approval_id"])
    detail = {"items": batch["items"], "accepted": batch["accepted"], "state": batch["state"]}
    await audit.record(context, "bulk.take", f"bulk:{batch['batch_id']}", detail)
    return batch


def _sealed(context: Context, batch_id: int, row: dict[str, Any]) -> dict[str, Any]:
    place = f"bulk_items:{batch_id}/{row['place']}"
    return row | {"batch_id": batch_id, "outside": document_of(context, place, row["outside"])}


def _document(reason: Reason) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(reason).items()}


def _reason(document: Mapping[str, str]) -> Reason:
    return Reason(Reason_(document["code"]), document["field"], document["words"])


async def _checked(context: Context, file: File, today: date, rail: str) -> tuple[list[dict[str, Any]], int | None]:
    """Give the file's rows as items, with what only the office can find; and the customer whose file it is."""
    instructions = [row.instruction for row in file.rows if row.instruction is not None]
    numbers = {each.debtor.account for each in instructions} | {each.creditor.account for each in instructions}
    query = select(account_rows).where(account_rows.c.number.in_(numbers))
    known = {row["number"]: row for row in rows_of(await context.connection.execute(query))}
    owners = [known[each.debtor.account]["customer_id"] for each in instructions if each.debtor.account in known]
    customer_id: int | None = owners[0] if owners else None
    rows = []
    for place, row in enumerate(file.rows):
        made: dict[str, Any] = {
            "place": place, "line": row.line, "group_name": row.batch_id, "instruction_id": row.instruction_id,
            "end_to_end_id": row.end_to_end_id, "uetr": row.uetr, "state": "refused", "amount_minor": None,
            "currency": "", "day": None, "from_account": None, "to_account": None, "outside": None, "remittance": "",
        }  # fmt: skip
        reasons = list(row.reasons)
        if row.instruction is not None:
            made |= _item(row, known, customer_id, today, rail, reasons)
        made["reasons"] = [_document(reason) for reason in reasons]
        rows.append(made | {"state": "refused" if reasons else "ready"})
    return rows, customer_id


def _item(  # noqa: PLR0917 - all of it is needed to judge a row
    row: FileRow, known: Mapping[str, Row], customer_id: int | None, today: date, rail: str, reasons: list[Reason]
) -> dict[str, Any]:
    told = row.instruction
    assert told is not None

    def no(code: Reason_, field: str, words: str) -> None:
        reasons.append(Reason(code, field, words))

    payer, payee = known.get(told.debtor.account), known.get(told.creditor.account)
    if payer is None:
        no(Reason_.ACCOUNT, "DbtrAcct", f"{told.debtor.account} is no account of this house")
    elif payer["customer_id"] != customer_id:
        no(Reason_.ACCOUNT, "DbtrAcct", f"{told.debtor.account} belongs to another customer than the file's first")
    elif payer["currency"] != told.currency:
        no(Reason_.CURRENCY, "Amt/InstdAmt", f"{told.currency}, and the account is kept in {payer['currency']}")
    if payee is None and told.creditor.account.startswith(ISSUER) and len(told.creditor.account) == NUMBER_LENGTH:
        no(Reason_.ACCOUNT, "CdtrAcct", f"{told.creditor.account} is no account of this house")
    elif payee is not None and payee["currency"] != told.currency:
        no(Reason_.CURRENCY, "Amt/InstdAmt", f"{told.currency}, and the receiver's account is in {payee['currency']}")
    elif payee is not None and payer is not None and payee["account_id"] == payer["account_id"]:
        no(Reason_.ACCOUNT, "CdtrAcct", "is the account that pays")
    elif payee is None and not (told.creditor.bank.bic or told.creditor.bank.member or told.creditor.bank.name):
        no(Reason_.BANK, "CdtrAgt", "is missing")
    elif payee is None and rail not in RAILS:
        no(Reason_.OTHER, "CdtrAgt", f"there is no way to other banks: rail {rail!r} is not set up")
    if told.day > today + timedelta(days=AHEAD_DAYS):
        no(Reason_.DAY, "ReqdExctnDt", f"is more than {AHEAD_DAYS} days ahead")
    return {
        "amount_minor": told.amount_minor, "currency": told.currency, "day": told.day,
        "from_account": payer["account_id"] if payer else None, "to_account": payee["account_id"] if payee else None,
        "outside": told.creditor if payee is None else None, "remittance": told.remittance[:140],
    }  # fmt: skip


# --- the second person ----------------------------------------------------------------------------


async def _approve(context: Context, payload: Mapping[str, Any]) -> Any:
    batch = await get(context, payload["batch_id"], lock=True)
    rules = await load(context, await businessday.today(context))
    day = day_of(context.clock())
    for currency, minor in batch["totals"].items():
        breaches = await use.take(
            context, rules, batch["customer_id"], day, channel=CHANNEL, currency=currency, amount_minor=minor
        )
        if breaches:
            raise Problem(Code.STATE, "; ".join(each.words() for each in breaches), more={"state": "limit"})
    await change(context, batch, state="running", use_day=day)
    return {"batch": batch["batch_id"]}


async def _refuse(context: Context, payload: Mapping[str, Any]) -> Any:
    batch = await get(context, payload["batch_id"], lock=True)
    await change(context, batch, state="rejected")
    at = (items.c.batch_id == batch["batch_id"]) & (items.c.state == "ready")
    await context.connection.execute(update(items).where(at).values(state="failed", reason="not_approved"))
    return {"batch": batch["batch_id"]}


approvals.register(approvals.Kind("bulk", "payments.approve", _approve, _refuse))


# --- reading --------------------------------------------------------------------------------------


async def get(context: Context, batch_id: int, *, lock: bool = False) -> Row:
    """One batch; Problem when there is none."""
    query = select(batches).where(batches.c.batch_id == batch_id)
    found = rows_of(await context.connection.execute(query.with_for_update(key_share=True) if lock else query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no batch {batch_id}")
    return found[0]


async def listed(context: Context, customer_id: int | None, state: str, before: int | None, limit: int) -> list[Row]:
    """Batches newest first."""
    query = select(batches).order_by(batches.c.batch_id.desc()).limit(limit)
    if customer_id is not None:
        query = query.where(batches.c.customer_id == customer_id)
    if state:
        query = query.where(batches.c.state == state)
    if before is not None:
        query = query.where(batches.c.batch_id < before)
    return rows_of(await context.connection.execute(query))


async def items_of(
    context: Context, batch_id: int, *, state: str = "", after: int | None = None, limit: int | None = None
) -> list[Row]:
    """Items in the order of the file, each with its payment's number and state."""
    query = (
        select(items, payments.c.number.label("payment"), payments.c.state.label("payment_state"))
        .outerjoin(payments, payments.c.payment_id == items.c.payment_id)
        .where(items.c.batch_id == batch_id)
        .order_by(items.c.place)
    )
    if state:
        query = query.where(items.c.state == state)
    if after is not None:
        query = query.where(items.c.place > after)
    if limit is not None:
        query = query.limit(limit)
    return rows_of(await context.connection.execute(query))


async def counts(context: Context, batch_id: int) -> dict[str, int]:
    """How many items stand where."""
    query = select(items.c.state, func.count()).where(items.c.batch_id == batch_id).group_by(items.c.state)
    return {row[0]: row[1] for row in await context.connection.execute(query)}


async def change(context: Context, batch: Row, **values: Any) -> Row:
    """Change a batch that is locked or new."""
    at = batches.c.batch_id == batch["batch_id"]
    change_ = update(batches).where(at).values(version=batches.c.version + 1, **values).returning(batches)
    return rows_of(await context.connection.execute(change_))[0]


async def status_report(context: Context, batch: Row) -> bytes:
    """Write pain.002: what has become of every row so far."""
    rows = await items_of(context, batch["batch_id"])
    reasons = tuple(_reason(each) for each in batch["reasons"])
    read = tuple(
        FileRow(
            row["line"], row["group_name"], row["instruction_id"], row["end_to_end_id"], row["uetr"], None,
            tuple(_reason(each) for each in row["reasons"]),
        )
        for row in rows
    )  # fmt: skip
    file = File(batch["message"], batch["message_id"], batch["created_at"], batch["sender"], read, reasons)
    verdicts = {place: _verdict(row) for place, row in enumerate(rows) if not row["reasons"]}
    return status.write(f"PS{batch['batch_id']}-{batch['version']}", context.clock(), file, verdicts)


def _verdict(row: Row) -> Verdict:
    match row["state"]:
        case "failed":
            code = REASONS.get(row["reason"], "NARR")
            return Verdict(Status.REJECTED, code, row["reason"])
        case "paid":
            return Verdict(Status.CREDITED if row["to_account"] is not None else Status.SETTLED)
        case "held" | "open":
            return Verdict(Status.PENDING)
        case _:
            return Verdict(Status.ACCEPTED)


async def interbank_message(context: Context, batch: Row, bank: Bank) -> bytes | None:
    """Write pacs.008 for the items to other banks that money is held or paid for; None when there are none.

    All are in one message if they are in one currency; a file in two has the first one only told here.
    """
    rows = [
        row for row in await items_of(context, batch["batch_id"]) if row["outside"] and row["state"] in {"held", "paid"}
    ]
    if not rows:
        return None
    currency = rows[0]["currency"]
    query = select(account_rows.c.account_id, account_rows.c.number).where(
        account_rows.c.account_id.in_({row["from_account"] for row in rows})
    )
    numbers = {row.account_id: row.number for row in await context.connection.execute(query)}
    transfers: Sequence[interbank.Transfer] = [
        interbank.Transfer(
            row["payment"],
            _uetr(row),
            row["amount_minor"],
            Party(batch["sender"] or numbers[row["from_account"]], numbers[row["from_account"]]),
            await party_of(context, row) or Party(),
            row["end_to_end_id"] or NOT_PROVIDED,
            row["instruction_id"],
            row["remittance"],
        )
        for row in rows
        if row["currency"] == currency
    ]
    return interbank.write(
        f"PC{batch['batch_id']}-{batch['version']}", context.clock(), await businessday.today(context), transfers,
        currency=currency, sender=bank, clearing_system="",
    )  # fmt: skip


def _uetr(row: Row) -> UUID:
    """The sender's, or one made of batch and row: the same each time the message is written."""
    if row["uetr"]:
        return UUID(row["uetr"])
    digest = hashlib.sha256(f"bulk:{row['batch_id']}/{row['place']}/{row['payment']}".encode()).digest()
    return UUID(bytes=digest[:16], version=4)
