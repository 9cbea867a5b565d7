"""Rules, approvals, audit."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from backoffice import approvals, audit, parameters
from backoffice.api.models import (
    ApprovalOut,
    ApprovalsOut,
    AuditsOut,
    DecisionIn,
    ParameterIn,
    ParametersOut,
)
from backoffice.api.working import PAGE_MAX, SESSION, needs, number_of, page, retried, work
from backoffice.context import Context
from backoffice.problems import Code, Problem, invalid

router = APIRouter()
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
ID = Annotated[int, Query(ge=1, lt=2**63)]


async def _change_parameter(context: Context, payload: Mapping[str, Any]) -> Any:
    rule = parameters.Rule(
        payload["name"], payload["value"], date.fromisoformat(payload["valid_from"]), None, payload["source"],
        payload["scope"],
    )  # fmt: skip
    row = await parameters.change(context, rule)
    return {"parameter_id": row["parameter_id"]}


approvals.register(approvals.Kind("parameter", "parameters.approve", _change_parameter))


@router.get("/parameters", response_model=ParametersOut, tags=["parameters"], openapi_extra=needs("parameters.read"))
async def list_parameters(
    request: Request, name: Annotated[str, Query(max_length=100)] = "", on: date | None = None
) -> dict[str, Any]:
    """Rules with their days and sources; `on` leaves those of one day."""
    async with work(request) as context:
        rows = await parameters.history(context, name)
    if on is not None:
        rows = [row for row in rows if row["valid_from"] <= on and (row["valid_to"] is None or row["valid_to"] >= on)]
    return {"items": rows}


@router.post(
    "/parameters/{name}/values",
    response_model=ApprovalOut,
    status_code=202,
    tags=["parameters"],
    openapi_extra=needs("parameters.change"),
)
async def change_parameter(request: Request, name: str, body: ParameterIn) -> Response:
    """Ask for another value from a coming day on; a second person decides. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def ask() -> dict[str, Any]:
            if not await parameters.history(context, name):
                raise Problem(Code.NOT_FOUND, f"there is no parameter {name}")
            if body.valid_from <= context.clock().date():
                raise invalid("valid_from", "not after today")
            summary = f"{name}{f' ({body.scope})' if body.scope else ''}: {body.value} from {body.valid_from}"
            payload = {"name": name} | body.model_dump(mode="json")
            row = await approvals.ask(context, "parameter", f"parameter:{name}", summary, payload)
            return await approvals.get(context, row["approval_id"])

        return await retried(request, context, ask, 202)


@router.get("/approvals", response_model=ApprovalsOut, tags=["approvals"], openapi_extra=needs("approvals.read"))
async def list_approvals(
    request: Request,
    state: Literal["", "open", "approved", "rejected", "withdrawn"] = "open",
    limit: Limit = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """What waits for a second person, or has been decided, newest first."""
    async with work(request) as context:
        rows = await approvals.listed(context, state, number_of(cursor), limit + 1)
    return page(rows, limit, lambda row: row["approval_id"])


@router.get(
    "/approvals/{approval_id}", response_model=ApprovalOut, tags=["approvals"], openapi_extra=needs("approvals.read")
)
async def get_approval(request: Request, approval_id: int) -> dict[str, Any]:
    """One of them."""
    async with work(request) as context:
        return await approvals.get(context, approval_id)


@router.post(
    "/approvals/{approval_id}/decision", response_model=ApprovalOut, tags=["approvals"], openapi_extra=needs(SESSION)
)
async def decide(request: Request, approval_id: int, body: DecisionIn) -> Response:
    """Approve or reject; the permission is that of its kind. Needs an Idempotency-Key."""
    async with work(request) as context:
        return await retried(
            request,
            context,
            lambda: approvals.decide(context, approval_id, approve=body.approve, reason=body.reason),
            200,
        )


@router.post(
    "/approvals/{approval_id}/withdrawal", response_model=ApprovalOut, tags=["approvals"], openapi_extra=needs(SESSION)
)
async def withdraw(request: Request, approval_id: int) -> Response:
    """Take one's own request back. Needs an Idempotency-Key."""
    async with work(request) as context:
        return await retried(request, context, lambda: approvals.withdraw(context, approval_id), 200)


@router.get("/audit", response_model=AuditsOut, tags=["audit"], openapi_extra=needs("audit.read"))
async def search_audit(
    request: Request,
    *,
    subject: Annotated[str, Query(max_length=200)] = "",
    user: Annotated[str, Query(max_length=64)] = "",
    action: Annotated[str, Query(max_length=100)] = "",
    since: datetime | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Who did or saw what, newest first; an action may end with *. Searching is an entry, too."""
    if since is not None and since.tzinfo is None:
        raise invalid("since", "say the time zone")
    async with work(request) as context:
        rows = await audit.search(
            context, subject=subject, user_name=user, action=action, first_at=since, before=number_of(cursor),
            limit=limit + 1,
        )  # fmt: skip
        asked = {"subject": subject, "user": user, "action": action}
        await audit.record(context, "audit.search", "audit", {name: text for name, text in asked.items() if text})
    return page(rows, limit, lambda row: row["entry"])
