"""Where `verify` and `backup` read the log: in a database, or in a data directory, with its server or without."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg

from server.cli.common import CommandError
from server.journal import Journal, PrivatePostgres, UnsafeDatabase
from server.journal.cluster import PORT
from server.journal.postgres import DATABASE, USER

READ_ONLY = "default_transaction_read_only=on"
WAIT_SECONDS = 10.0


@asynccontextmanager
async def origin(data_dir: Path, database_url: str) -> AsyncIterator[tuple[str, str]]:
    """Give the connection string of the log, for sessions that cannot write, and the name of the place.

    Beside a running server it is that server's PostgreSQL; without one the private cluster runs as long as needed.
    """
    postgres: PrivatePostgres | None = None
    try:
        if database_url:
            dsn, name = database_url, "DATABASE_URL"
        else:
            if not (data_dir / "postgres" / "data" / "PG_VERSION").exists():
                raise CommandError(f"--data-dir: {data_dir} holds no private PostgreSQL of tongbao")
            name = str(data_dir)
            dsn = await _running(data_dir)
            if not dsn:
                postgres = PrivatePostgres(data_dir, prime=False)
                dsn = await postgres.start(supervise=False)
        separator = "&" if "?" in dsn else "?"
        yield f"{dsn}{separator}{READ_ONLY}", name
    finally:
        if postgres is not None:
            await postgres.stop()


async def _running(data_dir: Path) -> str:
    """Give the connection string of a private PostgreSQL that runs; empty when it does not."""
    try:
        directory = (data_dir / "postgres" / "socket_directory").read_text("utf-8").strip()
        dsn = f"postgresql:///{DATABASE}?host={quote(directory)}&port={PORT}&user={USER}"
        connection = await asyncpg.connect(dsn, timeout=WAIT_SECONDS)
        await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return ""
    return dsn


async def open_log(dsn: str, *, standby_too: bool = False) -> Journal:
    """Open the log without ever making one; `standby_too`: on a standby of PostgreSQL, as followers read it."""
    try:
        return await Journal.open(dsn, wait=WAIT_SECONDS, allow_unsafe=True, read_only=standby_too)
    except asyncpg.ReadOnlySQLTransactionError:
        raise UnsafeDatabase("there is no log of tongbao in this database") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise UnsafeDatabase(f"the database cannot be used: {error}") from None
