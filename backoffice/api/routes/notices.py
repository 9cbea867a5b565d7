"""Notices for whoever has logged on, and for the roles that they have."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from backoffice import notices
from backoffice.api.models.console import NoticesOut
from backoffice.api.working import PAGE_MAX, SESSION, needs, number_of, page, work
from backoffice.context import Context
from backoffice.problems import Code, Problem

router = APIRouter(prefix="/notices", tags=["notices"])


def _audiences(context: Context) -> list[str]:
    return [f"user:{context.user_id}", *(f"role:{role}" for role in sorted(context.actor.roles))]


@router.get("", response_model=NoticesOut, openapi_extra=needs(SESSION))
async def list_notices(
    request: Request, limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Notices for this user and the user's roles, newest first."""
    async with work(request) as context:
        rows = await notices.listed(context, _audiences(context), number_of(cursor), limit + 1)
    return page(rows, limit, lambda row: row["notice_id"])


@router.put("/{notice_id}/read", status_code=204, openapi_extra=needs(SESSION))
async def read_notice(request: Request, notice_id: Annotated[int, Path(ge=1, lt=2**63)]) -> Response:
    """Mark one as read. What a role is told, one of them reads for all."""
    async with work(request) as context:
        if not await notices.read(context, notice_id, _audiences(context)):
            raise Problem(Code.NOT_FOUND, f"there is no notice {notice_id}")
    return Response(status_code=204)
