"""Standing orders: made, changed, stopped, and what became of their dates."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy import select

from backoffice.accounts.tables import accounts as account_rows
from backoffice.api.models import Amount
from backoffice.api.models.standing import (
    StandingDetailOut,
    StandingIn,
    StandingOut,
    StandingsOut,
    StandingTermsIn,
    StopIn,
)
from backoffice.api.routes.payments import account_named
from backoffice.api.working import PAGE_MAX, needs, number_of, page, retried, version_of, versioned, work
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.payments import standing
from backoffice.payments.events import Row
from backoffice.payments.iso20022.values import Bank, Party
from backoffice.payments.outside import masked_party
from backoffice.payments.schedule import Every, Schedule
from backoffice.payments.standing import Terms
from backoffice.payments.tables import payments
from backoffice.problems import invalid
from backoffice.products.calendar import Adjust

router = APIRouter(prefix="/standing-orders", tags=["standing orders"])
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
ID = Annotated[int, Path(ge=1, lt=2**63)]


def _terms(body: StandingTermsIn, currency: str) -> Terms:
    money = body.amount.money("amount")
    if money.currency != currency:
        raise invalid("amount.currency", f"the account is kept in {currency}")
    try:
        plan = Schedule(
            Every(body.every), body.first_on, body.step, body.on_day, Adjust(body.roll), body.last_on, body.times
        )
    except ValueError as error:
        field, _, words = str(error).partition(": ")
        raise invalid(field, words) from None
    return Terms(money.minor, plan, body.purpose, body.retries, body.on_failure)


@router.post("", response_model=StandingOut, status_code=201, openapi_extra=needs("payments.create"))
async def create(request: Request, body: StandingIn) -> Response:
    """Make a standing order; the first date is a coming one. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def do() -> Any:
            payer = await account_named(context, "from_account", body.from_account)
            if (body.to_account is None) == (body.outside is None):
                raise invalid("to_account", "give either this or outside")
            payee = await account_named(context, "to_account", body.to_account) if body.to_account else None
            party = None
            if body.outside is not None:
                bank = Bank(body.outside.bank.bic, body.outside.bank.member, body.outside.bank.name)
                party = Party(body.outside.name, body.outside.account, bank=bank)
            terms = _terms(body, payer["currency"])
            row = await standing.create(context, payer, payee, terms, outside=party, rail=body.rail)
            return (await _shown(context, [row]))[0]

        return await retried(request, context, do)


@router.get("", response_model=StandingsOut, openapi_extra=needs("payments.read"))
async def list_orders(
    request: Request,
    *,
    customer: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    account: Annotated[str, Query(max_length=34)] = "",
    state: Literal["", "active", "stopped", "finished"] = "",
    limit: Limit = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Standing orders newest first."""
    async with work(request) as context:
        account_id = (await account_named(context, "account", account))["account_id"] if account else None
        rows = await standing.listed(
            context, customer_id=customer, account_id=account_id, state=state, before=number_of(cursor),
            limit=limit + 1,
        )  # fmt: skip
        items = await _shown(context, rows[:limit])
    return page(rows, limit, lambda row: row["standing_id"]) | {"items": items}


@router.get("/{standing_id}", response_model=StandingDetailOut, openapi_extra=needs("payments.read"))
async def get(request: Request, standing_id: ID) -> Response:
    """One standing order with what became of its newest dates."""
    async with work(request) as context:
        body = (await _shown(context, [await standing.get(context, standing_id)]))[0]
        history = await standing.runs_of(context, standing_id)
        wanted = [run["payment_id"] for run in history if run["payment_id"] is not None]
        query = select(payments.c.payment_id, payments.c.number).where(payments.c.payment_id.in_(wanted))
        numbers = {row.payment_id: row.number for row in await context.connection.execute(query)}
    for run in history:
        run["payment"] = numbers.get(run.pop("payment_id"))
        del run["standing_id"]
    return versioned(body | {"history": history})


@router.put("/{standing_id}", response_model=StandingOut, openapi_extra=needs("payments.create"))
async def change(request: Request, standing_id: ID, body: StandingTermsIn) -> Response:
    """Give it other terms from its next date on. Needs If-Match."""
    version = version_of(request)
    async with work(request) as context:
        row = await standing.get(context, standing_id)
        changed = await standing.change(context, standing_id, _terms(body, row["currency"]), version)
        return versioned((await _shown(context, [changed]))[0])


@router.post("/{standing_id}/stop", response_model=StandingOut, openapi_extra=needs("payments.create"))
async def stop(request: Request, standing_id: ID, body: StopIn) -> Response:
    """Stop it for good. Needs If-Match and an Idempotency-Key."""
    version = version_of(request)
    async with work(request) as context:

        async def do() -> Any:
            return (await _shown(context, [await standing.stop(context, standing_id, body.reason, version)]))[0]

        return await retried(request, context, do, 200)


async def _shown(context: Context, rows: Iterable[Row]) -> list[dict[str, Any]]:
    rows = list(rows)
    ids = {row[side] for row in rows for side in ("from_account", "to_account")}
    query = select(account_rows.c.account_id, account_rows.c.number).where(account_rows.c.account_id.in_(ids))
    numbers = {row["account_id"]: row["number"] for row in rows_of(await context.connection.execute(query))}
    shown = []
    for row in rows:
        party = masked_party(row)
        outside = None
        if party is not None:
            bank = party.bank.name or party.bank.bic or party.bank.member
            outside = {"name": party.name, "account": party.account, "bank": bank}
        names = {side: numbers.get(row[side]) for side in ("from_account", "to_account")}
        amount = Amount.of(row["amount_minor"], row["currency"])
        shown.append(dict(row) | names | {"outside": outside, "amount": amount})
    return shown
