"""The office's PostgreSQL: one pool, one transaction for everything that belongs together.

A transaction is READ COMMITTED; whatever must not happen twice or at the same time is kept apart by a row lock or a
unique index, never by hope.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from backoffice import SCHEMA

CONNECT_SECONDS = 10.0
SESSION = {
    "application_name": "tongbao office",
    "TimeZone": "UTC",
    "search_path": f"{SCHEMA},pg_catalog",
    "lock_timeout": "15s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
}


class Database:
    """A pool of connections."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use `open`."""
        self.engine = engine

    @classmethod
    def open(cls, dsn: str, *, pool_size: int = 10) -> Self:
        """Make the pool; nothing is connected before it is used."""
        if urlsplit(dsn).scheme not in {"postgresql", "postgres"}:
            raise ValueError("database_url: not a postgresql:// address")

        async def connect() -> asyncpg.Connection:
            return await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, server_settings=SESSION)

        url = make_url("postgresql+asyncpg://")
        engine = create_async_engine(
            url, async_creator=connect, pool_size=pool_size, max_overflow=0, pool_pre_ping=True, hide_parameters=True
        )
        return cls(engine)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Commit at the end, roll back on any exception."""
        async with self.engine.begin() as connection:
            yield connection

    async def close(self) -> None:
        """Close what is open."""
        await self.engine.dispose()


def rows_of(result: Any) -> list[dict[str, Any]]:
    """Give the rows of a result as dictionaries."""
    return [dict(row) for row in result.mappings()]


def constraint_of(error: IntegrityError) -> str:
    """Give the name of the constraint that was broken."""
    return str(getattr(error.orig.__cause__ if error.orig else None, "constraint_name", ""))
