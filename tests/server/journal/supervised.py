"""A supervisor to be killed from outside: starts the private PostgreSQL, prints its number, and waits."""

import asyncio
import sys
from pathlib import Path

from server.journal import PrivatePostgres


async def main(directory: str) -> None:
    postgres = PrivatePostgres(Path(directory), wal_size=64 << 20, shared_buffers=32 << 20, prime=False)
    await postgres.start()
    print(f"postmaster {postgres.pid}", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))
