"""Sessions and users."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from backoffice.access import users
from backoffice.access.permissions import permissions_of
from backoffice.api.models import (
    CodesIn,
    CodesOut,
    LogonIn,
    MeOut,
    SessionOut,
    UserChangeIn,
    UserIn,
    UserOut,
    UsersOut,
)
from backoffice.api.working import (
    PAGE_MAX,
    PUBLIC,
    SESSION,
    needs,
    number_of,
    office_of,
    page,
    retried,
    token_of,
    version_of,
    versioned,
    work,
)
from backoffice.problems import Problem

router = APIRouter(tags=["access"])


@router.post("/sessions", response_model=SessionOut, status_code=201, openapi_extra=needs(PUBLIC))
async def log_on(request: Request, body: LogonIn) -> dict[str, Any]:
    """Log on. Failures are counted, and enough of them lock the user for a while."""
    async with work(request) as context:
        found = await users.log_on(context, office_of(request).settings, **body.model_dump())
    if isinstance(found, Problem):
        raise found
    permissions = sorted(permissions_of(found.user["roles"]))
    return {"token": found.token, "ends_at": found.ends_at, "user": found.user, "permissions": permissions}


@router.delete("/sessions/current", status_code=204, openapi_extra=needs(SESSION))
async def log_off(request: Request) -> Response:
    """End this session."""
    async with work(request) as context:
        await users.log_off(context, token_of(request))
    return Response(status_code=204)


@router.get("/me", response_model=MeOut, openapi_extra=needs(SESSION))
async def me(request: Request) -> dict[str, Any]:
    """Say who has logged on, and what that user may do."""
    async with work(request) as context:
        user = await users.get(context, context.user_id)
        return {"user": user, "permissions": sorted(context.actor.permissions)}


@router.post("/me/one-time-codes", response_model=CodesOut, openapi_extra=needs(SESSION))
async def begin_codes(request: Request) -> dict[str, str]:
    """Give a new secret for one-time codes; nothing is switched on before a code of it has been sent."""
    async with work(request) as context:
        return await users.begin_codes(context)


@router.put("/me/one-time-codes", status_code=204, openapi_extra=needs(SESSION))
async def confirm_codes(request: Request, body: CodesIn) -> Response:
    """Switch one-time codes on."""
    async with work(request) as context:
        await users.confirm_codes(context, body.secret, body.code)
    return Response(status_code=204)


@router.get("/users", response_model=UsersOut, openapi_extra=needs("users.read"))
async def list_users(
    request: Request, limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Users by number."""
    async with work(request) as context:
        rows = await users.listed(context, number_of(cursor) or 0, limit + 1)
    return page(rows, limit, lambda row: row["user_id"])


@router.post("/users", response_model=UserOut, status_code=201, openapi_extra=needs("users.manage"))
async def create_user(request: Request, body: UserIn) -> Response:
    """Make a user. Needs an Idempotency-Key."""
    async with work(request) as context:
        return await retried(request, context, lambda: users.create(context, **body.model_dump()))


@router.get("/users/{user_id}", response_model=UserOut, openapi_extra=needs("users.read"))
async def get_user(request: Request, user_id: int) -> Response:
    """One user, with its version as ETag."""
    async with work(request) as context:
        return versioned(await users.get(context, user_id))


@router.patch("/users/{user_id}", response_model=UserOut, openapi_extra=needs("users.manage"))
async def change_user(request: Request, user_id: int, body: UserChangeIn) -> Response:
    """Change roles, branch, or whether the user may log on. Needs If-Match."""
    async with work(request) as context:
        return versioned(await users.change(context, user_id, version_of(request), **body.model_dump()))
