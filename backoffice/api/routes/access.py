"""Sessions and users."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from backoffice.access import oidc, users
from backoffice.access.permissions import permissions_of
from backoffice.api.models import (
    CodesIn,
    CodesOut,
    IdentityIn,
    IdentityLogonIn,
    LogonIn,
    MeOut,
    SessionOut,
    UserChangeIn,
    UserIn,
    UserOut,
    UsersOut,
)
from backoffice.api.working import (
    COOKIE,
    COOKIE_PATH,
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
from backoffice.problems import Code, Problem

router = APIRouter(tags=["access"])


@router.post("/sessions", response_model=SessionOut, status_code=201, openapi_extra=needs(PUBLIC, limited=True))
async def log_on(request: Request, body: LogonIn) -> dict[str, Any]:
    """Log on. Failures are counted, and enough of them lock the user for a while."""
    async with work(request) as context:
        found = await users.log_on(context, office_of(request).settings, **body.model_dump())
    if isinstance(found, Problem):
        raise found
    return _told(found)


@router.post(
    "/sessions/identity", response_model=SessionOut, status_code=201, openapi_extra=needs(PUBLIC, limited=True)
)
async def log_on_by_identity(request: Request, body: IdentityLogonIn) -> dict[str, Any]:
    """Log on with an identity token of the provider that this office trusts; a token opens one session."""
    office = office_of(request)
    if office.provider is None:
        raise Problem(Code.STATE, "no identity provider is configured")
    claims = await office.provider.claims(body.token)
    async with work(request) as context:
        found = await oidc.log_on(context, office.settings, claims, body.token)
    if isinstance(found, Problem):
        raise found
    return _told(found)


def _told(session: users.Session) -> dict[str, Any]:
    permissions = sorted(permissions_of(session.user["roles"]))
    return {"token": session.token, "ends_at": session.ends_at, "user": session.user, "permissions": permissions}


@router.put("/users/{user_id}/identity", status_code=204, openapi_extra=needs("users.manage"))
async def tie_identity(request: Request, user_id: int, body: IdentityIn) -> None:
    """Tie a user to a subject of the identity provider."""
    async with work(request) as context:
        await oidc.tie(context, user_id, office_of(request).settings.oidc_issuer, body.subject)


@router.delete("/users/{user_id}/identity", status_code=204, openapi_extra=needs("users.manage"))
async def untie_identity(request: Request, user_id: int) -> None:
    """End that tie, and the user's sessions."""
    async with work(request) as context:
        await oidc.untie(context, user_id)


@router.delete("/sessions/current", status_code=204, openapi_extra=needs(SESSION))
async def log_off(request: Request) -> Response:
    """End this session."""
    async with work(request) as context:
        await users.log_off(context, token_of(request))
    response = Response(status_code=204)
    if COOKIE in request.cookies:
        response.delete_cookie(COOKIE, path=COOKIE_PATH, httponly=True, samesite="strict")
    return response


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
