"""The application: routes, and how problems are told."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from backoffice import REVISION, background
from backoffice.api.models import HealthOut, ProblemOut
from backoffice.api.routes import routers
from backoffice.api.working import PUBLIC, Office, known, needs, work
from backoffice.console import console_routes
from backoffice.context import now
from backoffice.database import Database
from backoffice.privacy.keyring import KeyFaultError
from backoffice.problems import Code, FieldError, Problem, language_of
from backoffice.settings import Settings

PREFIX = "/api/v1"
PROBLEM_JSON = "application/problem+json"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ProblemOut, "description": "A refusal, with a stable code"},
    "5XX": {"model": ProblemOut, "description": "A failure of ours"},
}


def create_app(database: Database, settings: Settings, *, clock: Callable[[], datetime] = now) -> FastAPI:
    """Make the application; while it lives planned postings are sent, and it closes the database when it ends."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        office = app.state.office
        if office.keyring is not None:
            async with database.transaction() as connection:
                await office.keyring.prepare(connection)
        gateway = office.gateway
        await gateway.start()
        try:
            async with background.running(office):
                yield
        finally:
            await gateway.stop()
            await database.close()

    app = FastAPI(
        title="Tongbao office",
        version="1",
        description="Errors are problem+json with a stable `code`. Money is a decimal string with a currency.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        lifespan=life,
        responses=PROBLEMS,
        dependencies=[Depends(known)],
    )
    app.state.office = Office(database, settings, clock)
    for router in routers():
        app.include_router(router, prefix=PREFIX)

    @app.get(f"{PREFIX}/health", response_model=HealthOut, tags=["health"], openapi_extra=needs(PUBLIC))
    async def health(request: Request) -> dict[str, str]:
        """Say that the database answers."""
        async with work(request) as context:
            await context.connection.execute(text("SELECT 1"))
        return {"status": "ready", "revision": REVISION}

    app.router.routes.extend(console_routes())
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(KeyFaultError, _key_fault)
    app.add_exception_handler(Exception, _internal)
    return app


def respond(request: Request, problem: Problem) -> JSONResponse:
    """Tell a problem in the caller's language."""
    language = language_of(request.headers.get("accept-language", ""))
    document = problem.document(language, request.url.path)
    headers = {"Content-Language": language}
    if problem.code.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if "retry_after" in problem.more:
        headers["Retry-After"] = str(problem.more["retry_after"])
    return JSONResponse(document, problem.code.status, headers, media_type=PROBLEM_JSON)


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return respond(request, error)


async def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return respond(request, Problem(Code.MALFORMED, "the body is not JSON"))
    fields = [
        FieldError(".".join(str(part) for part in each["loc"][1:]) or str(each["loc"][0]), each["msg"])
        for each in found
    ]
    detail = "; ".join(f"{field.field}: {field.message}" for field in fields)
    return respond(request, Problem(Code.INVALID, detail, errors=fields))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED}.get(error.status_code, Code.MALFORMED)
    response = respond(request, Problem(code))
    response.headers.update(error.headers or {})  # Allow
    return response


async def _key_fault(request: Request, error: Exception) -> JSONResponse:
    structlog.get_logger().error("key_fault", path=request.url.path, error=str(error))
    return respond(request, Problem(Code.KEYS_MISSING))


async def _database(request: Request, error: Exception) -> JSONResponse:
    """Data that PostgreSQL cannot take (a NUL in a text, a number beyond 64 bits) is the caller's, all else is ours."""
    assert isinstance(error, DBAPIError)
    cause = error.orig.__cause__ if error.orig is not None else None
    if isinstance(cause, asyncpg.DataError):
        return respond(request, Problem(Code.INVALID, "a text or a number of the request cannot be stored"))
    return await _internal(request, error)


async def _internal(request: Request, error: Exception) -> JSONResponse:
    structlog.get_logger().error("request_failed", path=request.url.path, error=type(error).__name__, exc_info=error)
    return respond(request, Problem(Code.INTERNAL))
