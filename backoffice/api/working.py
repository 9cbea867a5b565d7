"""What every route shares: its permission, its transaction, pages, versions, retries.

A route declares its permission in its OpenAPI entry (`needs`), and `work` asks for it: what is documented is what is
enforced. The transaction commits inside the route, before anything is answered.
"""

import base64
import binascii
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse

from backoffice.access import users
from backoffice.access.oidc import provider_of
from backoffice.access.rates import ADDRESS, USER, Rates
from backoffice.context import Actor, Context
from backoffice.database import Database
from backoffice.idempotency import fingerprint, once
from backoffice.ledger.gateway import Gateway, client_for
from backoffice.privacy.keyring import KeyFaultError, Keyring, read_master
from backoffice.problems import Code, Problem, invalid
from backoffice.settings import SettingError, Settings

PUBLIC: Final = "public"
"""No logon is needed."""
SESSION: Final = "session"
"""Any user who has logged on."""
PAGE_MAX: Final = 200
COOKIE: Final = "office_session"
COOKIE_PATH: Final = "/api/"
CONSOLE_HEADER: Final = "x-office-console"


class Office:
    """What the application holds: `app.state.office`."""

    def __init__(self, database: Database, settings: Settings, clock: Callable[[], datetime]) -> None:
        self.database = database
        self.settings = settings
        self.clock = clock
        self.keyring = keyring_of(settings)
        self.gateway = Gateway(database, client_for(settings), clock=clock, keys=self.keyring)
        self.rates = Rates(settings)
        self.provider = provider_of(settings, clock)


def keyring_of(settings: Settings) -> Keyring | None:
    """Read the master key that the settings name; None when they name none. Raises SettingError."""
    if not settings.master_key_file:
        return None
    try:
        return Keyring(read_master(Path(settings.master_key_file)))
    except KeyFaultError as error:
        raise SettingError(f"master_key_file: {error}") from None


def needs(permission: str, *, limited: bool = False) -> dict[str, Any]:
    """Say in a route's OpenAPI entry what one must be allowed to do; `limited`: its requests count per address."""
    return {"x-permission": permission} | ({"x-rate-limited": "address"} if limited else {})


def office_of(request: Request) -> Office:
    """Give the application's."""
    found: Office = request.app.state.office
    return found


def from_console(request: Request) -> bool:
    """Whether the header is there that only a page of this origin can send.

    A browser sends it across origins only after a preflight, which this API never answers; so a cookie beside it was
    sent by the console (OWASP, Cross-Site Request Forgery Prevention, "Custom Request Headers").
    """
    return request.headers.get(CONSOLE_HEADER) == "1"


def token_of(request: Request) -> str:
    """Give the token of the Authorization header or of the console's cookie; Problem when there is none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if not kind and from_console(request):
        token = request.cookies.get(COOKIE, "")
    elif kind.lower() != "bearer":
        token = ""
    if not token:
        raise Problem(Code.NOT_LOGGED_ON)
    return token


async def known(request: Request) -> None:
    """Refuse who has no token before the body is looked at; whether the token is good, `work` finds out."""
    route = request.scope.get("route")
    extra = (route.openapi_extra or {}) if route is not None else {}
    if extra.get("x-rate-limited"):
        await office_of(request).rates.count(ADDRESS, request.client.host if request.client else "")
    if route is not None and extra.get("x-permission") != PUBLIC:
        token_of(request)


@asynccontextmanager
async def work(request: Request) -> AsyncIterator[Context]:
    """Open the transaction of a request for whoever asks, if the route's permission allows it."""
    office = office_of(request)
    permission: str = request.scope["route"].openapi_extra["x-permission"]
    address = request.client.host if request.client else ""
    nobody = Actor(None, "nobody", frozenset(), frozenset(), address=address)
    async with office.database.transaction() as connection:
        context = Context(connection, nobody, office.clock, office.keyring)
        if permission != PUBLIC:
            actor = await users.actor_of(context, office.settings, token_of(request))
            await office.rates.count(USER, actor.name)
            context = Context(connection, actor, office.clock, office.keyring)
            if permission != SESSION:
                context.need(permission)
        yield context


async def retried(
    request: Request, context: Context, do: Callable[[], Awaitable[Any]], status: int = 201
) -> JSONResponse:
    """Do what a request asks for once for each Idempotency-Key, and answer."""
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    key = request.headers.get("idempotency-key", "")

    async def done() -> tuple[int, Any]:
        return status, jsonable_encoder(await do())

    code, body, again = await once(context, key, fingerprint(request.method, path, await request.body()), done)
    return JSONResponse(body, code, {"Idempotency-Replayed": "true"} if again else None)


def version_of(request: Request) -> int:
    """Give the version in If-Match; Problem when it is missing or not one of ours."""
    text = request.headers.get("if-match", "")
    if not text:
        raise Problem(Code.VERSION_MISSING)
    if not (text.startswith('"') and text.endswith('"') and text[1:-1].isdecimal() and len(text) < 12):
        raise Problem(Code.CHANGED, "If-Match is not an ETag of this API")
    return int(text[1:-1])


def versioned(body: dict[str, Any], status: int = 200) -> JSONResponse:
    """Answer with the object and its version as ETag."""
    return JSONResponse(jsonable_encoder(body), status, {"ETag": f'"{body["version"]}"'})


def page(rows: Sequence[dict[str, Any]], limit: int, place: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Answer with a list; `next` asks for what comes behind it, and is null at the end. Fetch one more than `limit`."""
    items = list(rows[:limit])
    return {"items": items, "next": cursor(place(items[-1])) if len(rows) > limit else None}


def cursor(place: Any) -> str:
    """Write a place in a list so that nobody builds one by hand."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def number_of(text: str | None) -> int | None:
    """Read a cursor that is a number."""
    if text is None:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        place = None
    if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < 2**63:
        raise invalid("cursor", "not one of this API")
    return place
