"""`python -m tests.crash.database DIRECTORY`: a PostgreSQL that outlives the servers that use it.

Says one line (its connection string) when it is up, brings itself back when it is killed, ends on SIGTERM.
"""

import asyncio
import signal
import sys
from pathlib import Path

from server.journal import PrivatePostgres


async def main(directory: Path) -> None:
    """Run until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    postgres = PrivatePostgres(directory, wal_size=64 << 20)
    print(await postgres.start(), flush=True)
    await ended.wait()
    await postgres.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
