"""Migrations of the tables by Alembic, which is only imported here (`pip install tongbao[projection]`)."""

from importlib import resources
from pathlib import Path
from typing import Any

import asyncpg

from server.projection import SCHEMA
from server.projection.errors import ProjectionError

MIGRATIONS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x746F_6E67_6261_70
"""Keeps two migrations from running at the same time."""
COMMENT = "Projection of tongbao''s log: docs/PROJECTION.md."


async def migrate(dsn: str, revision: str = "head") -> tuple[str | None, str | None]:
    """Bring the tables to a revision; return those before and after. Raises ProjectionError, or PostgreSQL's."""
    try:
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - an optional dependency
        from sqlalchemy.pool import NullPool  # noqa: PLC0415
    except ImportError as error:
        raise ProjectionError(f"migrations need Alembic: pip install 'tongbao[projection]' ({error})") from None

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(dsn, timeout=10.0, server_settings={"application_name": "tongbao projection"})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        lock = await connect()
        try:
            await lock.execute(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
            await lock.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}; COMMENT ON SCHEMA {SCHEMA} IS '{COMMENT}'")
            before = await revision_of(lock)
            async with engine.connect() as connection:
                await connection.run_sync(_upgrade, revision)
            return before, await revision_of(lock)
        finally:
            await lock.close()
    finally:
        await engine.dispose()


async def revision_of(connection: asyncpg.Connection) -> str | None:
    """Return the revision that the tables are at; None if there are none."""
    query = (
        "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = $1 AND relname = 'migration')"
    )
    if not await connection.fetchval(query, SCHEMA):
        return None
    found: str | None = await connection.fetchval(f"SELECT version_num FROM {SCHEMA}.migration")
    return found


def _upgrade(connection: Any, revision: str) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    connection.commit()


def run_script(bind: Any, name: str) -> None:
    """Run a script of many statements that stands beside the migrations, in the migration's transaction."""
    script = resources.files("server.projection").joinpath("migrations", "versions", name).read_text("utf-8")
    bind.exec_driver_sql("SELECT 1")  # begins the transaction, which the driver's own call below would not
    bind.connection.dbapi_connection.run_async(lambda connection: connection.execute(script))
