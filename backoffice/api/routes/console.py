"""The console's own sessions: a cookie that scripts cannot read, in place of a token that they could."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse

from backoffice import businessday
from backoffice.access import users
from backoffice.access.permissions import permissions_of
from backoffice.api.models import LogonIn
from backoffice.api.models.console import ConsoleSessionOut
from backoffice.api.working import COOKIE, COOKIE_PATH, PUBLIC, SESSION, needs, office_of, work
from backoffice.api.working import from_console as asked_by_console
from backoffice.context import Context
from backoffice.problems import Problem, invalid

router = APIRouter(prefix="/console", tags=["console"])


@router.post(
    "/session", response_model=ConsoleSessionOut, status_code=201, openapi_extra=needs(PUBLIC, limited=True)
)  # fmt: skip
async def log_on(request: Request, body: LogonIn) -> Response:
    """Log on from a browser: the token goes into a cookie (HttpOnly, SameSite=Strict, Secure under TLS).

    Needs the header `X-Office-Console: 1`, as everything that is asked with the cookie does: a page from elsewhere
    cannot send it without asking first (CORS), and is never allowed to.
    """
    if not asked_by_console(request):
        raise invalid("X-Office-Console", "the header is missing")
    async with work(request) as context:
        found = await users.log_on(context, office_of(request).settings, **body.model_dump())
        if not isinstance(found, Problem):
            permissions = sorted(permissions_of(found.user["roles"]))
            answer = await _session(request, context, found.user, permissions)
    if isinstance(found, Problem):
        raise found
    response = JSONResponse(jsonable_encoder(answer), 201)
    response.set_cookie(
        COOKIE,
        found.token,
        max_age=office_of(request).settings.session_minutes * 60,
        path=COOKIE_PATH,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.get("/session", response_model=ConsoleSessionOut, openapi_extra=needs(SESSION))
async def session(request: Request) -> dict[str, Any]:
    """Say who has logged on, what that user may do, and for which day the house books."""
    async with work(request) as context:
        user = await users.get(context, context.user_id)
        return await _session(request, context, user, sorted(context.actor.permissions))


async def _session(
    request: Request, context: Context, user: dict[str, Any], permissions: list[str]
) -> dict[str, Any]:  # fmt: skip
    return {
        "user": user,
        "permissions": permissions,
        "idle_minutes": office_of(request).settings.idle_minutes,
        "business_date": await businessday.today(context),
    }
