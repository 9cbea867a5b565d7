"""Statements of accounts: as JSON, and as ISO 20022 messages to download."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from backoffice import audit
from backoffice.accounts import service as accounts
from backoffice.api.models import Amount
from backoffice.api.models.payments import StatementOut
from backoffice.api.working import needs, office_of, work
from backoffice.context import Context
from backoffice.payments import statements
from backoffice.payments.iso20022.statement import write_notifications, write_statements
from backoffice.payments.limits import day_of
from backoffice.payments.outside import masked_account, masked_name
from backoffice.problems import Code, Problem
from server.client import ClientError, uuid7

router = APIRouter(prefix="/accounts", tags=["accounts"])
First = Annotated[date, Query(alias="from", description="First day, in China.")]
Last = Annotated[date, Query(alias="to", description="Last day, included.")]
XML: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/xml": {}}, "description": "An ISO 20022 message"}
}


@asynccontextmanager
async def _paper(
    request: Request, number: str, first: date, last: date, *, unmask: bool = False
) -> AsyncIterator[tuple[Context, Any]]:
    """Write a statement, and that somebody has read it."""
    async with work(request) as context:
        if unmask:
            context.need("customers.unmask")
        account = await accounts.get(context, number)
        try:
            paper = await statements.make(context, office_of(request).gateway, account, first, last)
        except ClientError:
            raise Problem(Code.LEDGER_AWAY) from None
        detail = {"from": str(first), "to": str(last), "lines": len(paper.lines)} | ({"unmask": True} if unmask else {})
        await audit.record(context, "accounts.statement", f"account:{account['account_id']}", detail)
        yield context, paper


@router.get("/{number}/statement", response_model=StatementOut, openapi_extra=needs("accounts.read"))
async def statement(request: Request, number: str, first: First, last: Last) -> dict[str, Any]:
    """What was booked on the days, oldest first, with the balance after each line. Parties outside are masked."""
    async with _paper(request, number, first, last) as (_, paper):
        currency = paper.currency
        return {
            "account": paper.account, "currency": currency, "first_day": first, "last_day": last,
            "opening": Amount.of(paper.opening_minor, currency), "closing": Amount.of(paper.closing_minor, currency),
            "lines": [
                {
                    "at": line.at, "amount": Amount.of(line.amount_minor, currency),
                    "balance": Amount.of(line.balance_minor, currency), "code": line.code,
                    "payment": line.payment or None, "purpose": line.purpose, "transfer_id": line.transfer_id,
                    "other": " ".join(
                        part for part in (_named(line.other), masked_account(line.other.account)) if part
                    ),
                }
                for line in paper.lines
            ],
        }  # fmt: skip


def _named(party: Any) -> str:
    """Our own accounts go by the chart's name; who has an account elsewhere is masked."""
    return masked_name(party.name) if party.account else str(party.name)


@router.get("/{number}/statement.xml", responses=XML, response_class=Response, openapi_extra=needs("accounts.read"))
async def statement_message(
    request: Request, number: str, first: First, last: Last, *, unmask: bool = False
) -> Response:
    """The statement as camt.053 (version 08). `unmask`: with names in clear, by customers.unmask."""
    async with _paper(request, number, first, last, unmask=unmask) as (context, paper):
        now = context.clock()
        bank, name = await statements.our_bank(context, day_of(now)), uuid7().hex
        content = write_statements(name, now, bank, [statements.message_of(paper, f"{name}-1", masked=not unmask)])
    return _download(content, f"camt053-{number}-{first}-{last}.xml")


@router.get("/{number}/notifications.xml", responses=XML, response_class=Response, openapi_extra=needs("accounts.read"))
async def notification_message(
    request: Request, number: str, first: First, last: Last, *, unmask: bool = False
) -> Response:
    """The booked lines without balances, as camt.054 (version 08). `unmask` as for statements."""
    async with _paper(request, number, first, last, unmask=unmask) as (context, paper):
        now = context.clock()
        bank, name = await statements.our_bank(context, day_of(now)), uuid7().hex
        content = write_notifications(name, now, bank, [statements.message_of(paper, f"{name}-1", masked=not unmask)])
    return _download(content, f"camt054-{number}-{first}-{last}.xml")


def _download(content: bytes, name: str) -> Response:
    return Response(
        content, media_type="application/xml", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
