"""A leader to be paused from outside: appends until it may not, and prints every seq that was acknowledged."""

import asyncio
import sys
import time

import structlog

from server.journal import Fenced, Journal


async def main(dsn: str) -> None:
    journal = await Journal.open(dsn)
    await journal.take_over()
    try:
        while True:
            print(await journal.append(time.time_ns(), b"of the paused leader"), flush=True)
    except Fenced:
        print("fenced", flush=True)
    await journal.close()


structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(main(sys.argv[1]))
