"""Sale: questionnaires, purchases, redemptions, cooling-off."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse

from backoffice.api.models import Amount
from backoffice.api.models.products import (
    AnswersIn,
    AssessmentOut,
    AssessmentsOut,
    OrderOut,
    OrdersOut,
    PurchaseIn,
    QuestionnaireOut,
    RedemptionIn,
)
from backoffice.api.working import PAGE_MAX, needs, number_of, office_of, page, retried, work
from backoffice.context import Context
from backoffice.customers import service as customers
from backoffice.rating import assessments
from backoffice.sales import service
from backoffice.sales.service import Confirmed

router = APIRouter(tags=["sales"])
Number = Annotated[int, Path(ge=1, lt=2**63)]
OrderNumber = Annotated[str, Path(pattern="^S[0-9]{18}$", examples=["S202611230000000000"])]
SETTLE_SECONDS = 5.0


@router.get("/suitability/questionnaire", response_model=QuestionnaireOut, openapi_extra=needs("sales.read"))
async def get_questionnaire(request: Request) -> dict[str, Any]:
    """The questionnaire, in both languages, without its points."""
    async with work(request):
        found = assessments.document()
    questions = [
        {name: each[name] for name in ("key", "zh", "en")}
        | {"answers": [{name: answer[name] for name in ("key", "zh", "en")} for answer in each["answers"]]}
        for each in found["questions"]
    ]
    return {"version": found["version"], "questions": questions}


@router.post(
    "/customers/{customer_id}/suitability",
    response_model=AssessmentOut,
    status_code=201,
    openapi_extra=needs("sales.create"),
)
async def answer_questionnaire(request: Request, customer_id: Number, body: AnswersIn) -> Response:
    """Record a customer's answers and rate C1 to C5. Needs an Idempotency-Key."""
    async with work(request) as context:
        return await retried(request, context, lambda: assessments.answer(context, customer_id, body.answers))


@router.get("/customers/{customer_id}/suitability", response_model=AssessmentsOut, openapi_extra=needs("sales.read"))
async def list_assessments(request: Request, customer_id: Number) -> dict[str, Any]:
    """All assessments of a customer, newest first."""
    async with work(request) as context:
        await customers.row_of(context, customer_id)
        return {"items": await assessments.history(context, customer_id)}


@router.post("/sales/purchases", response_model=OrderOut, status_code=201, openapi_extra=needs("sales.create"))
async def purchase(request: Request, body: PurchaseIn) -> Response:
    """Buy a product. Refused before it begins if it does not suit; `failed` if the ledger refuses the money.

    Needs an Idempotency-Key; a replay tells the newest outcome.
    """
    money = body.amount.money("amount")
    confirmed = Confirmed(body.risk_warning_confirmed, body.second_look)
    return await _made(
        request,
        lambda context: service.buy(
            context,
            body.customer_id,
            body.product_id,
            paying=body.paying_account,
            amount_minor=money.minor,
            confirmed=confirmed,
        ),
    )


@router.post("/sales/redemptions", response_model=OrderOut, status_code=201, openapi_extra=needs("sales.create"))
async def redeem(request: Request, body: RedemptionIn) -> Response:
    """Give a deposit back with its interest. Needs an Idempotency-Key."""
    return await _made(request, lambda context: service.redeem(context, body.holding_account, body.paying_account))


@router.post(
    "/sales/orders/{number}/withdrawal", response_model=OrderOut, status_code=201, openapi_extra=needs("sales.create")
)
async def withdraw(request: Request, number: OrderNumber) -> Response:
    """Undo a purchase within its cooling-off days. Needs an Idempotency-Key."""
    return await _made(request, lambda context: service.withdraw(context, number))


@router.get("/sales/orders", response_model=OrdersOut, openapi_extra=needs("sales.read"))
async def list_orders(
    request: Request,
    *,
    customer_id: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    state: Literal["", "planned", "confirmed", "failed"] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Orders, newest first."""
    before = number_of(cursor)
    async with work(request) as context:
        rows = await service.listed(context, customer_id=customer_id, state=state, before=before, limit=limit + 1)
        items = await _shown(context, rows)
    return page(items, limit, lambda row: row["order_id"])


@router.get("/sales/orders/{number}", response_model=OrderOut, openapi_extra=needs("sales.read"))
async def get_order(request: Request, number: OrderNumber) -> dict[str, Any]:
    """One order."""
    async with work(request) as context:
        return (await _shown(context, [await service.get(context, number)]))[0]


async def _made(request: Request, do: Callable[[Context], Awaitable[dict[str, Any]]]) -> Response:
    """Order once, let the ledger settle it, and answer with what it is now."""
    async with work(request) as context:

        async def once() -> dict[str, Any]:
            return {"number": (await do(context))["number"]}

        first = await retried(request, context, once)
    number = json.loads(bytes(first.body))["number"]
    async with work(request) as context:
        row = await service.get(context, number)
    if row["state"] == "planned":
        await office_of(request).gateway.settle([row["group_id"]], SETTLE_SECONDS)
    async with work(request) as context:
        shown = (await _shown(context, [await service.get(context, number)]))[0]
    headers = {name: value for name, value in first.headers.items() if name == "idempotency-replayed"}
    return JSONResponse(jsonable_encoder(OrderOut.model_validate(shown)), first.status_code, headers)


async def _shown(context: Context, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give orders with the numbers of accounts that people see."""
    numbers = await service.numbers_of(context, {row[name] for row in rows for name in ("paying", "holding")})
    return [_order(row, numbers) for row in rows]


def _order(row: Mapping[str, Any], numbers: Mapping[int, str]) -> dict[str, Any]:
    currency = row["currency"]
    return dict(row) | {
        "paying_account": numbers[row["paying"]],
        "holding_account": numbers[row["holding"]],
        "amount": Amount.of(row["amount_minor"], currency),
        "fee": Amount.of(row["fee_minor"], currency),
        "interest": Amount.of(row["interest_minor"], currency),
    }
