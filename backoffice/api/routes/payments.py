"""Payments: cash, transfers, what became of them, reversals and refunds."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from sqlalchemy import select

from backoffice import approvals, audit
from backoffice.accounts import service as accounts
from backoffice.accounts.tables import accounts as account_rows
from backoffice.api.models import Amount, ApprovalOut
from backoffice.api.models.payments import (
    CashIn,
    PaymentDetailOut,
    PaymentOut,
    PaymentsOut,
    RefundIn,
    ReversalIn,
    TransferIn,
)
from backoffice.api.working import PAGE_MAX, needs, number_of, office_of, page, retried, work
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.ledger.tables import posting_groups, postings
from backoffice.money import CURRENCIES
from backoffice.payments import agreement as _agreement  # noqa: F401 - registers what is compared
from backoffice.payments import due as _due  # noqa: F401 - registers what is done beside requests
from backoffice.payments import service, undo
from backoffice.payments.events import Row, groups_of
from backoffice.payments.iso20022.values import Bank, Party
from backoffice.payments.outside import masked_party, party_of
from backoffice.payments.rails_api import rail_of
from backoffice.payments.reasons import text_of
from backoffice.payments.service import Order
from backoffice.problems import Problem, invalid, language_of

router = APIRouter(prefix="/payments", tags=["payments"])
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
SETTLE_SECONDS = 5.0
"""How long an answer waits for the ledger; what takes longer is settled by the worker and seen by asking again."""


@router.post("/deposits", response_model=PaymentOut, status_code=201, openapi_extra=needs("payments.create"))
async def deposit(request: Request, body: CashIn) -> Response:
    """Take cash at the counter. Declined with a reason is an answer of 201, too. Needs an Idempotency-Key."""
    return await _made(request, lambda context: _cash(context, body, "deposit"))


@router.post("/withdrawals", response_model=PaymentOut, status_code=201, openapi_extra=needs("payments.create"))
async def withdraw(request: Request, body: CashIn) -> Response:
    """Pay cash out at the counter. Needs an Idempotency-Key."""
    return await _made(request, lambda context: _cash(context, body, "withdrawal"))


@router.post("/transfers", response_model=PaymentOut, status_code=201, openapi_extra=needs("payments.create"))
async def transfer(request: Request, body: TransferIn) -> Response:
    """Move money within the house (`to_account`) or to another bank (`outside`, `rail`). Needs an Idempotency-Key."""
    return await _made(request, lambda context: _transfer(context, body))


async def _cash(context: Context, body: CashIn, kind: str) -> Row:
    money = body.amount.money("amount")
    account = await account_named(context, "account", body.account)
    side = "to_account" if kind == "deposit" else "from_account"
    order = Order(
        kind, "counter", money.minor, money.currency, purpose=body.purpose, reference=body.reference,
        **{side: account["account_id"]},
    )  # fmt: skip
    return await service.create(context, order)


async def _transfer(context: Context, body: TransferIn) -> Row:
    money = body.amount.money("amount")
    payer = await account_named(context, "from_account", body.from_account)
    common = {"from_account": payer["account_id"], "purpose": body.purpose, "reference": body.reference}
    if (body.to_account is None) == (body.outside is None):
        raise invalid("to_account", "give either this or outside")
    if body.to_account is not None:
        if body.rail:
            raise invalid("rail", "a transfer within the house needs none")
        payee = await account_named(context, "to_account", body.to_account)
        order = Order("transfer", body.channel, money.minor, money.currency, to_account=payee["account_id"], **common)
    else:
        assert body.outside is not None
        rail_of(body.rail)
        bank = Bank(body.outside.bank.bic, body.outside.bank.member, body.outside.bank.name)
        if not (bank.bic or bank.member or bank.name):
            raise invalid("outside.bank", "give its BIC, member number or name")
        party = Party(body.outside.name, body.outside.account, bank=bank)
        order = Order(
            "transfer", body.channel, money.minor, money.currency, outside=party, rail=body.rail, mode="held", **common
        )
    return await service.create(context, order)


async def account_named(context: Context, field: str, number: str) -> Row:
    """Find the account that a body names; Problem that names the field."""
    try:
        return await accounts.get(context, number)
    except Problem:
        raise invalid(field, "there is no such account") from None


async def _made(request: Request, do: Callable[[Context], Awaitable[Row]]) -> Response:
    """Make a payment once, settle it, and answer with what it is now: a replay tells the newest outcome, too."""
    async with work(request) as context:

        async def once() -> dict[str, Any]:
            return {"number": (await do(context))["number"]}

        first = await retried(request, context, once)
    number = json.loads(bytes(first.body))["number"]
    return await _answer(request, number, first.status_code, dict(first.headers))


async def _answer(request: Request, number: str, status: int, headers: Mapping[str, str]) -> Response:
    async with work(request) as context:
        groups = groups_of(await service.get(context, number))
    if groups:
        await office_of(request).gateway.settle(groups, SETTLE_SECONDS)
    async with work(request) as context:
        row = await service.get(context, number)
        body = (await shown(context, [row], _language(request)))[0]
    kept = {name: value for name, value in headers.items() if name == "idempotency-replayed"}
    return JSONResponse(jsonable_encoder(body), status, kept | {"ETag": f'"{row["version"]}"'})


@router.get("", response_model=PaymentsOut, openapi_extra=needs("payments.read"))
async def list_payments(
    request: Request,
    *,
    account: Annotated[str, Query(max_length=34)] = "",
    customer: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    state: Literal[
        "",
        "created",
        "authorised",
        "declined",
        "captured",
        "voided",
        "expired",
        "partly_refunded",
        "refunded",
        "reversed",
    ] = "",
    kind: Literal["", "deposit", "withdrawal", "transfer", "bulk_item", "standing", "card", "wallet", "qr", "fee"] = "",
    rail: Annotated[str, Query(max_length=32)] = "",
    reference: Annotated[str, Query(max_length=64)] = "",
    day: date | None = None,
    first_day: date | None = None,
    last_day: date | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Payments newest first; `day` is a business date. Account numbers of other banks are masked."""  # fmt: skip
    async with work(request) as context:
        account_id = (await account_named(context, "account", account))["account_id"] if account else None
        rows = await service.listed(
            context, account_id=account_id, customer_id=customer, state=state, kind=kind, rail=rail,
            reference=reference, first_day=day or first_day, last_day=day or last_day, before=number_of(cursor),
            limit=limit + 1,
        )  # fmt: skip
        items = await shown(context, rows[:limit], _language(request))
    answer = page(rows, limit, lambda row: row["payment_id"])
    return answer | {"items": items}


@router.get("/{number}", response_model=PaymentDetailOut, openapi_extra=needs("payments.read"))
async def get_payment(request: Request, number: str, *, unmask: bool = False) -> dict[str, Any]:
    """One payment, with what has happened to it and its postings in the ledger.

    `unmask`: the party at another bank in clear; it needs the permission customers.unmask and is audited.
    """
    async with work(request) as context:
        row = await service.get(context, number)
        if unmask:
            context.need("customers.unmask")
            await audit.record(context, "payments.unmask", f"payment:{number}", {})
        return await detailed(context, row, _language(request), masked=not unmask)


@router.post(
    "/{number}/reversals", response_model=ApprovalOut, status_code=202, openapi_extra=needs("payments.reverse")
)
async def reverse(request: Request, number: str, body: ReversalIn) -> Response:
    """Ask to undo today's payment as a whole (冲正); a second person decides. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def ask() -> Any:
            asked = await undo.ask_reversal(context, number, body.reason)
            return await approvals.get(context, asked["approval_id"])

        return await retried(request, context, ask, 202)


@router.post("/{number}/refunds", response_model=ApprovalOut, status_code=202, openapi_extra=needs("payments.reverse"))
async def refund(request: Request, number: str, body: RefundIn) -> Response:
    """Ask to give money back, wholly or in part; a second person decides. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def ask() -> Any:
            row = await service.get(context, number)
            money = body.amount.money("amount")
            if money.currency != row["currency"]:
                raise invalid("amount.currency", f"the payment is in {row['currency']}")
            asked = await undo.ask_refund(context, number, money.minor, body.reason)
            return await approvals.get(context, asked["approval_id"])

        return await retried(request, context, ask, 202)


# --- rows as they are shown -----------------------------------------------------------------------


def _language(request: Request) -> str:
    return language_of(request.headers.get("accept-language", ""))


async def shown(
    context: Context, rows: Iterable[Row], language: str = "en", *, masked: bool = True
) -> list[dict[str, Any]]:
    """Write payments for lists: accounts by their numbers, parties outside masked."""
    rows = list(rows)
    wanted = {row[side] for row in rows for side in ("from_account", "to_account") if row[side] is not None}
    query = select(account_rows.c.account_id, account_rows.c.number).where(account_rows.c.account_id.in_(wanted))
    numbers = {row["account_id"]: row["number"] for row in rows_of(await context.connection.execute(query))}
    made = []
    for row in rows:
        party = masked_party(row) if masked else await party_of(context, row)
        made.append(_shown(row, numbers, party) | {"reason_text": text_of(row["reason"], language)})
    return made


def _shown(row: Row, numbers: Mapping[int, str], party: Party | None) -> dict[str, Any]:
    currency = row["currency"]
    outside = None
    if party is not None:
        outside = {
            "name": party.name,
            "account": party.account,
            "bank": party.bank.name or party.bank.bic or party.bank.member,
        }
    amounts = {
        name: Amount.of(row[column], currency)
        for name, column in (
            ("amount", "ordered_minor"), ("authorised", "authorised_minor"), ("captured", "captured_minor"),
            ("refunded", "refunded_minor"), ("fee", "fee_minor"),
        )
    }  # fmt: skip
    return dict(row) | amounts | {
        "from_account": numbers.get(row["from_account"]), "to_account": numbers.get(row["to_account"]),
        "outside": outside, "settled": row["in_flight"] is None,
    }  # fmt: skip


async def detailed(context: Context, row: Row, language: str = "en", *, masked: bool = True) -> dict[str, Any]:
    """Write one payment with its events and postings."""
    body, currency = (await shown(context, [row], language, masked=masked))[0], row["currency"]
    told = await service.events_of(context, row["payment_id"])
    made = [
        each | {"amount": Amount.of(each["amount_minor"], currency) if each["amount_minor"] else None} for each in told
    ]
    query = (
        select(postings)
        .join(posting_groups, posting_groups.c.id == postings.c.group_id)
        .where(posting_groups.c.id.in_([each["group_id"] for each in told if each["group_id"] is not None]))
        .order_by(posting_groups.c.seq, postings.c.position)
    )
    found = rows_of(await context.connection.execute(query))
    ids = {each[side] for each in found for side in ("debit_account_id", "credit_account_id")}
    query = select(account_rows.c.account_id, account_rows.c.number).where(account_rows.c.account_id.in_(ids))
    numbers = {each["account_id"]: each["number"] for each in rows_of(await context.connection.execute(query))}

    def name(account_id: int) -> str:
        return str(numbers.get(account_id, account_id or ""))

    items = [
        {
            "id": str(each["id"]), "debit_account": name(each["debit_account_id"]),
            "credit_account": name(each["credit_account_id"]), "code": each["code"], "status": each["status"],
            "amount": Amount.of(each["amount_minor"], CURRENCIES.get(each["ledger"]) or currency)
            if each["amount_minor"] >= 0 else None,
            "pending_id": str(each["pending_id"]) if each["pending_id"] else None,
        }
        for each in found
    ]  # fmt: skip
    return body | {"events": made, "postings": items}
