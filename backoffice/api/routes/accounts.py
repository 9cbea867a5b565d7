"""Customers' accounts. Balances are the engine's, asked for after the office's transaction has ended."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy import text

from backoffice import approvals, audit
from backoffice.accounts import balances, service
from backoffice.api.models import Amount, ApprovalOut
from backoffice.api.models.accounts import AccountBalanceOut, AccountIn, AccountOut, AccountsOut, AccountStatusIn
from backoffice.api.models.customers import ReasonIn
from backoffice.api.working import needs, office_of, retried, version_of, versioned, work
from backoffice.context import Context
from backoffice.customers import service as customers
from backoffice.database import rows_of
from backoffice.problems import Code, Problem, invalid

router = APIRouter(tags=["accounts"])
AccountNumber = Annotated[str, Path(pattern="^[0-9]{12,19}$", examples=["9901560000000000000"])]
Number = Annotated[int, Path(ge=1, lt=2**63)]
DIRECTLY = ("demand", "card")
"""Kinds that are opened at the counter without money; the others begin with a purchase."""


async def _release(context: Context, payload: Mapping[str, Any]) -> Any:
    row = await service.set_status(context, payload["number"], "open", payload["reason"], None)
    return {"number": row["number"], "status": row["status"]}


approvals.register(approvals.Kind("account.release", "payments.approve", _release))


@router.post(
    "/customers/{customer_id}/accounts",
    response_model=AccountOut,
    status_code=201,
    openapi_extra=needs("accounts.open"),
)
async def open_account(request: Request, customer_id: Number, body: AccountIn) -> Response:
    """Open a demand deposit or a card account under the version that is on sale. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def make() -> dict[str, Any]:
            customer = await customers.require_active(context, customer_id)
            query = text(
                "SELECT p.kind, p.currency, v.version FROM office.products p JOIN office.product_versions v USING "
                "(product_id) WHERE p.product_id = :id AND v.state = 'on_sale'"
            )
            found = rows_of(await context.connection.execute(query, {"id": body.product_id}))
            if not found:
                raise invalid("product_id", f"{body.product_id!r} is not on sale")
            if found[0]["kind"] not in DIRECTLY:
                raise invalid("product_id", f"a {found[0]['kind']} product is bought, not opened")
            row = await service.open_(
                context, customer_id=customer_id, kind=found[0]["kind"], product_id=body.product_id,
                product_version=found[0]["version"], currency=found[0]["currency"],
                branch=body.branch or customer["branch"],
            )  # fmt: skip
            return shown(row)

        return await retried(request, context, make)


@router.get("/customers/{customer_id}/accounts", response_model=AccountsOut, openapi_extra=needs("accounts.read"))
async def list_accounts(request: Request, customer_id: Number) -> dict[str, Any]:
    """All accounts of a customer with their balances."""
    async with work(request) as context:
        await customers.row_of(context, customer_id)
        rows = await service.of_customer(context, customer_id)
        await audit.record(context, "accounts.read", f"customer:{customer_id}")
    return {"items": await with_balances(request, rows)}


@router.get("/accounts/{number}", response_model=AccountBalanceOut, openapi_extra=needs("accounts.read"))
async def get_account(request: Request, number: AccountNumber) -> Response:
    """One account with its balance."""
    async with work(request) as context:
        row = await service.get(context, number)
        await audit.record(context, "accounts.read", f"account:{row['account_id']}")
    return versioned((await with_balances(request, [row]))[0])


@router.put("/accounts/{number}/status", response_model=AccountOut, openapi_extra=needs("accounts.freeze"))
async def set_account_status(request: Request, number: AccountNumber, body: AccountStatusIn) -> Response:
    """Stop or freeze an account, needs If-Match. Releasing needs a second person: ask for it by `/release`."""
    async with work(request) as context:
        version = version_of(request)
        if body.status == "open":
            raise Problem(Code.STATE, "a release needs a second person: POST /accounts/{number}/release")
        row = await service.set_status(context, number, body.status, body.reason, version)
    return versioned(shown(row))


@router.post(
    "/accounts/{number}/release", response_model=ApprovalOut, status_code=202, openapi_extra=needs("accounts.freeze")
)
async def release_account(request: Request, number: AccountNumber, body: ReasonIn) -> Response:
    """Ask for a stopped or frozen account to be opened again; another person decides. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def ask() -> Any:
            row = await service.get(context, number)
            payload = {"number": number, "reason": body.reason}
            summary = f"release account {number}: {body.reason}"
            made = await approvals.ask(context, "account.release", f"account:{row['account_id']}", summary, payload)
            return await approvals.get(context, made["approval_id"])

        return await retried(request, context, ask, 202)


@router.post("/accounts/{number}/closure", response_model=AccountOut, openapi_extra=needs("accounts.open"))
async def close_account(request: Request, number: AccountNumber) -> Response:
    """Close an account on which nothing stands and nothing is held or planned. Needs an Idempotency-Key.

    The row is locked while the engine is asked, and every payment locks it before it plans: nothing comes in between.
    """
    gateway = office_of(request).gateway
    async with work(request) as context:

        async def close() -> dict[str, Any]:
            row = await service.get(context, number, lock=True)
            planned = text(
                "SELECT EXISTS (SELECT FROM office.postings p JOIN office.posting_groups g ON g.id = p.group_id "
                "WHERE g.state = 'planned' AND (p.debit_account_id = :a OR p.credit_account_id = :a))"
            )
            if await context.connection.scalar(planned, {"a": row["account_id"]}):
                raise Problem(Code.STATE, f"account {number} has postings under way")
            balance, available, _ = (await balances.of(gateway, [row]))[row["account_id"]]
            if balance or available != balance:
                left = str(Amount.of(balance, row["currency"]).amount)
                raise Problem(Code.STATE, f"account {number} is not empty", more={"balance": left})
            return shown(await service.close(context, number))

        return await retried(request, context, close, 200)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give an account without the engine's number."""
    return {name: value for name, value in row.items() if name not in {"account_id", "made_at"}}


async def with_balances(request: Request, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put balances to accounts."""
    found = await balances.of(office_of(request).gateway, rows) if rows else {}
    items = []
    for row in rows:
        balance, available, held = (Amount.of(minor, row["currency"]) for minor in found[row["account_id"]])
        items.append(shown(row) | {"balance": balance, "available": available, "held": held})
    return items
