"""Migrations of the office's tables by Alembic; there is no alembic.ini."""

from importlib import resources
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from backoffice import SCHEMA

MIGRATIONS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x746F_6E67_6F66_66
"""Keeps two migrations from running at the same time."""


async def migrate(dsn: str, revision: str = "head") -> tuple[str | None, str | None]:
    """Bring the tables to a revision; return those before and after."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(dsn, timeout=10.0, server_settings={"application_name": "tongbao office"})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    lock = await connect()
    try:
        await lock.execute(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
        await lock.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        before = await revision_of(lock)
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade, revision)
        return before, await revision_of(lock)
    finally:
        await lock.close()
        await engine.dispose()


async def revision_of(connection: asyncpg.Connection) -> str | None:
    """Return the revision that the tables are at; None if there are none."""
    if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.migration") is None:
        return None
    found: str | None = await connection.fetchval(f"SELECT version_num FROM {SCHEMA}.migration")
    return found


def run_script(bind: Any, name: str) -> None:
    """Run a script of many statements that stands beside the migrations, in the migration's transaction."""
    script = resources.files("backoffice").joinpath("migrations", "versions", name).read_text("utf-8")
    bind.exec_driver_sql("SELECT 1")  # begins the transaction, which the driver's own call below would not
    bind.connection.dbapi_connection.run_async(lambda connection: connection.execute(script))


def _upgrade(connection: Any, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    connection.commit()
