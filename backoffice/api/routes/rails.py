"""Payment rails: how they are set up, what they are told and tell, reconciliation, settlement."""

import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from sqlalchemy import select

from backoffice import approvals
from backoffice.accounts import service as accounts
from backoffice.api.models import Amount, ApprovalOut
from backoffice.api.models.payments import PaymentOut
from backoffice.api.models.rails import (
    CodeIn,
    CodeOut,
    CorrectionIn,
    DayIn,
    DifferencesOut,
    RailChangeIn,
    RailEventsOut,
    RailOrderOut,
    RailOrdersOut,
    RailOut,
    RailPaymentIn,
    RailsOut,
    RailTestOut,
    ReportOut,
    SettlementsOut,
)
from backoffice.api.routes.payments import _made as made
from backoffice.api.working import (
    PAGE_MAX,
    PUBLIC,
    needs,
    number_of,
    office_of,
    page,
    retried,
    version_of,
    versioned,
    work,
)
from backoffice.background import system
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.ledger.chart import own_account
from backoffice.payments import service as payments
from backoffice.payments.tables import payments as payment_rows
from backoffice.problems import Code, Problem, invalid
from backoffice.rails import codes, inbox, reconciliation, sending, service, settlement
from backoffice.rails.adapters import ADAPTERS, SETTLEMENT_LINE
from backoffice.rails.signing import Call, KeyFileError, SignatureError, verify
from backoffice.rails.tables import outbox, rail_events
from backoffice.rails.wire import CALLBACK_BYTES_MAX, CallbackIn, CallbackOut, EventKind, RailKind
from server.client import ClientError

router = APIRouter(tags=["rails"])
log = structlog.get_logger("tongbao.office.rails")
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Name = Annotated[str, Path(max_length=32)]


def _out(row: dict[str, Any]) -> dict[str, Any]:
    more = {
        "limit": Amount.of(row["amount_minor_max"]).model_dump(),
        "settlement_account": own_account(SETTLEMENT_LINE, 156, row["settlement_part"]),
    }
    return row | more


# --- how they are set up --------------------------------------------------------------------------


@router.get("/rails", response_model=RailsOut, openapi_extra=needs("payments.read"))
async def list_rails(request: Request) -> dict[str, Any]:
    """All rails, with how much waits for each."""
    async with work(request) as context:
        return {"items": [_out(row) for row in await service.listed(context)]}


@router.get("/rails/{name}", response_model=RailOut, openapi_extra=needs("payments.read"))
async def get_rail(request: Request, name: Name) -> Response:
    """One rail, with its version as ETag."""
    async with work(request) as context:
        return versioned(_out(await service.get(context, name)))


@router.patch("/rails/{name}", response_model=RailOut, openapi_extra=needs("rails.manage"))
async def change_rail(request: Request, name: Name, body: RailChangeIn) -> Response:
    """Change address, limit or state; pause and go on. Needs If-Match."""
    values = body.model_dump(exclude={"limit"})
    if body.limit is not None:
        money = body.limit.money("limit")
        if money.minor <= 0 or money.currency != "CNY":
            raise invalid("limit", "is above zero and in CNY")
        values["amount_minor_max"] = money.minor
    async with work(request) as context:
        return versioned(_out(await service.change(context, name, version_of(request), **values)))


@router.post("/rails/{name}/tests", response_model=RailTestOut, openapi_extra=needs("rails.manage"))
async def test_rail(request: Request, name: Name) -> dict[str, Any]:
    """Ask the rail about an order that does not exist: whether it answers, and takes our signature."""
    async with work(request) as context:
        row = await service.get(context, name)
    if not row["url"]:
        raise Problem(Code.STATE, f"rail {name} has no address")
    began = time.monotonic()
    status, problem = 0, ""
    async with sending.http_client() as http:
        try:
            status, _ = await sending.RailClient(office_of(request), row, http).ask("GET", "/operations/test")
        except sending.RailAwayError as error:
            problem = str(error)
    if status not in {0, 404}:
        problem = f"status {status}"
    return {
        "reachable": status != 0, "signature_taken": status == 404, "problem": problem,
        "milliseconds": round((time.monotonic() - began) * 1000),
    }  # fmt: skip


# --- payments and codes ---------------------------------------------------------------------------


@router.post(
    "/rails/{name}/payments", response_model=PaymentOut, status_code=201, openapi_extra=needs("payments.create")
)
async def pay(request: Request, name: Name, body: RailPaymentIn) -> Response:
    """Pay over a rail, or collect from outside; the rail's word comes later. Needs an Idempotency-Key."""
    return await made(request, lambda context: _order(context, name, body))


async def _order(context: Context, name: str, body: RailPaymentIn) -> dict[str, Any]:
    adapter = ADAPTERS.get(name)
    if adapter is None:
        raise Problem(Code.NOT_FOUND, f"there is no rail {name}")
    money = body.amount.money()
    party = None
    detail: dict[str, Any] = {}
    if adapter.kind is RailKind.INTERBANK:
        if body.outside is None or body.direction == "collect":
            raise invalid("outside", "an interbank transfer pays a party at another bank")
        party = body.outside.party()
    elif not body.instrument:
        raise invalid("instrument", f"a payment over {adapter.name} needs one")
    else:
        detail = {"instrument": {adapter.needs[0]: body.instrument}}
    account = await accounts.get(context, body.account)
    pays = body.direction == "pay"
    order = payments.Order(
        adapter.order_kind, body.channel, money.minor, money.currency, rail=adapter.name,
        from_account=account["account_id"] if pays else None, to_account=None if pays else account["account_id"],
        mode="held" if pays else "asked", outside=party, purpose=body.purpose, reference=body.reference, detail=detail,
    )  # fmt: skip
    return await payments.create(context, order)


@router.post("/rail-codes", response_model=CodeOut, status_code=201, openapi_extra=needs("payments.create"))
async def issue_code(request: Request, body: CodeIn) -> dict[str, Any]:
    """Make a code for the qr rail: it is good once, and not for long."""
    async with work(request) as context:
        return await codes.issue(
            context, body.mode, body.account, body.amount.money() if body.amount else None,
            body.most.money("most") if body.most else None,
        )  # fmt: skip


# --- what rails tell ------------------------------------------------------------------------------

_EVENT = {"type": "object", "description": "backoffice/rails/wire.py, EventOut"}
_CALLBACK = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"event": _EVENT}, "required": ["event"]},
            }
        },
    }
}
"""The body is read after its signature, so the framework does not know of it."""


@router.post(
    "/rails/{name}/callbacks", response_model=CallbackOut, openapi_extra=needs(PUBLIC) | _CALLBACK
)  # fmt: skip
async def callback(request: Request, name: Name) -> Response:
    """Take an event of a rail, signed with its key; the same one again gets the same answer.

    503 means: come again. Who does not sign is told nothing, not even whether there is such a rail.
    """
    office = office_of(request)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > CALLBACK_BYTES_MAX:
            raise Problem(Code.MALFORMED, f"the body is longer than {CALLBACK_BYTES_MAX} bytes")
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    try:
        if name not in ADAPTERS:
            raise KeyFileError(name)
        signed = verify(
            service.keys_of(office.settings, name), request.headers, Call("POST", path, bytes(body)), office.clock()
        )
    except (SignatureError, KeyFileError) as error:
        log.warning("callback_refused", rail=name[:32], why=str(error))
        raise Problem(Code.SIGNATURE) from None
    try:
        event = CallbackIn.model_validate_json(bytes(body)).event
    except ValidationError as error:
        fields = sorted({".".join(str(part) for part in each["loc"]) or "body" for each in error.errors()})
        raise Problem(Code.INVALID, f"not an event: {', '.join(fields)}"[:500]) from None
    async with system(office) as context:
        try:
            await inbox.take_nonce(context, name, signed)
        except SignatureError as error:
            log.warning("callback_refused", rail=name, why=str(error))
            raise Problem(Code.SIGNATURE) from None
        new = await inbox.keep(context, name, [event], "callback")
    if new or event.kind is EventKind.DEBIT:
        await inbox.apply_soon(office, name, event.id)
    answer = CallbackOut()
    if event.kind is EventKind.DEBIT:
        async with system(office) as context:
            decision = await inbox.decision(context, name, event.id)
        if decision.accepted is None:
            raise Problem(Code.LEDGER_AWAY, "not decided yet")
        answer = CallbackOut(accepted=decision.accepted, reason=decision.reason)
    return JSONResponse(answer.model_dump())


@router.get("/rails/{name}/events", response_model=RailEventsOut, openapi_extra=needs("rails.manage"))
async def list_events(
    request: Request,
    name: Name,
    *,
    payment: Annotated[str, Query(max_length=64)] = "",
    limit: Limit = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """What a rail has told, newest first."""
    before = number_of(cursor)
    query = select(rail_events).where(rail_events.c.rail == name).order_by(rail_events.c.seq.desc()).limit(limit + 1)
    if payment:
        query = query.where(rail_events.c.payment == payment)
    if before is not None:
        query = query.where(rail_events.c.seq < before)
    async with work(request) as context:
        await service.get(context, name)
        rows = rows_of(await context.connection.execute(query))
    return page(rows, limit, lambda row: row["seq"])


@router.get("/rails/{name}/orders", response_model=RailOrdersOut, openapi_extra=needs("rails.manage"))
async def list_orders(
    request: Request,
    name: Name,
    *,
    state: Literal["", "waiting", "pending", "done", "declined", "given_up"] = "",
    limit: Limit = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """What a rail was told, newest first."""
    before = number_of(cursor)
    query = (
        select(outbox, payment_rows.c.number.label("payment"))
        .join(payment_rows, payment_rows.c.payment_id == outbox.c.payment_id)
        .where(outbox.c.rail == name)
        .order_by(outbox.c.seq.desc())
        .limit(limit + 1)
    )
    if state:
        query = query.where(outbox.c.state == state)
    if before is not None:
        query = query.where(outbox.c.seq < before)
    async with work(request) as context:
        await service.get(context, name)
        rows = rows_of(await context.connection.execute(query))
    return page(rows, limit, lambda row: row["seq"])


@router.post(
    "/rails/{name}/orders/{reference}/attempts", response_model=RailOrderOut, openapi_extra=needs("rails.manage")
)
async def ask_again(request: Request, name: Name, reference: Annotated[str, Path(max_length=64)]) -> Response:
    """Take up an order that was given up: the rail is asked what became of it. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def do() -> dict[str, Any]:
            row = await sending.ask_again(context, name, reference)
            query = select(payment_rows.c.number).where(payment_rows.c.payment_id == row["payment_id"])
            return RailOrderOut(**row, payment=str(await context.connection.scalar(query))).model_dump(mode="json")

        return await retried(request, context, do, 200)


# --- reconciliation and settlement ----------------------------------------------------------------


@router.post("/rails/{name}/reconciliations", response_model=ReportOut, openapi_extra=needs("rails.manage"))
async def reconcile(request: Request, name: Name, body: DayIn) -> Response:
    """Get a day's file from the rail and compare it with the ledger. Needs an Idempotency-Key."""
    office = office_of(request)
    async with work(request) as context:
        await service.get(context, name)
    content = await reconciliation.fetch(office, name, body.day)  # no transaction waits for the rail
    async with work(request) as context:

        async def do() -> dict[str, Any]:
            try:
                return asdict(await reconciliation.run(office, context, name, body.day, content))
            except ClientError:
                raise Problem(Code.LEDGER_AWAY) from None

        return await retried(request, context, do, 200)


@router.get("/rails/{name}/differences", response_model=DifferencesOut, openapi_extra=needs("rails.manage"))
async def list_differences(
    request: Request,
    name: Name,
    *,
    state: Literal["", "open", "asked", "correcting", "corrected", "accepted", "gone"] = "open",
    limit: Limit = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """The work list, newest first."""
    async with work(request) as context:
        await service.get(context, name)
        rows = await settlement.differences(context, name, state, number_of(cursor), limit + 1)
    for row in rows:
        row["amount"] = Amount.of(row["amount_minor"], row["currency"]) if row["currency"] else None
    return page(rows, limit, lambda row: row["difference_id"])


@router.post(
    "/rails/{name}/differences/{difference_id}/corrections",
    response_model=ApprovalOut,
    status_code=202,
    openapi_extra=needs("rails.manage"),
)
async def correct(
    request: Request, name: Name, difference_id: Annotated[int, Path(ge=1, lt=2**63)], body: CorrectionIn
) -> Response:
    """Ask to post a difference against suspense, or to leave it; a second person decides. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def ask() -> dict[str, Any]:
            asked = await settlement.ask_correction(context, name, difference_id, body.action, body.reason)
            return await approvals.get(context, asked["approval_id"])

        return await retried(request, context, ask, 202)


@router.get("/rails/{name}/settlements", response_model=SettlementsOut, openapi_extra=needs("rails.manage"))
async def list_settlements(request: Request, name: Name, limit: Limit = 50) -> dict[str, Any]:
    """Settlements with a rail, newest day first."""
    async with work(request) as context:
        await service.get(context, name)
        rows = await settlement.settlements(context, name, limit)
    for row in rows:
        row["net"] = Amount.of(row["net_minor"], row["currency"])
        row["fees"] = Amount.of(row["fee_minor"], row["currency"])
    return {"items": rows}


@router.post(
    "/rails/{name}/settlements",
    response_model=list[ApprovalOut],
    status_code=202,
    openapi_extra=needs("rails.manage"),
)
async def settle(request: Request, name: Name, body: DayIn) -> Response:
    """Ask to settle a day's net over 1011, by currency; a second person decides. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def ask() -> list[dict[str, Any]]:
            asked = await settlement.ask_settlement(context, name, body.day)
            return [await approvals.get(context, each["approval_id"]) for each in asked]

        return await retried(request, context, ask, 202)
