"""Work that the office does by itself beside requests: each piece is called again and again while the process lives.

A piece must be safe to be called by two processes at the same time (row locks, SKIP LOCKED) and to be cut off anywhere.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from backoffice.context import SYSTEM, Context
from backoffice.database import Database
from backoffice.ledger.gateway import Gateway
from backoffice.privacy.keyring import Keyring
from backoffice.settings import Settings

log = structlog.get_logger("tongbao.office.background")


class Services(Protocol):
    """What a piece of work may use: the application's parts."""

    database: Database
    settings: Settings
    gateway: Gateway
    clock: Callable[[], datetime]
    keyring: Keyring | None


Work = Callable[[Services], Awaitable[bool]]
"""Do one portion; True: there may be more at once."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Work under a name, called every so many seconds."""

    name: str
    every_s: float
    work: Work


PIECES: Final[dict[str, Piece]] = {}


def background(name: str, *, every_s: float) -> Callable[[Work], Work]:
    """Register a piece of work; once, at import."""

    def register(work: Work) -> Work:
        if PIECES.setdefault(name, Piece(name, every_s, work)).work is not work:
            raise ValueError(f"background: {name} is registered twice")
        return work

    return register


@asynccontextmanager
async def system(services: Services) -> AsyncIterator[Context]:
    """Open a transaction of the system itself."""
    async with services.database.transaction() as connection:
        yield Context(connection, SYSTEM, services.clock, services.keyring)


@asynccontextmanager
async def running(services: Services) -> AsyncIterator[None]:
    """Run every piece until the end of the block."""
    tasks = [asyncio.create_task(_repeat(piece, services), name=piece.name) for piece in PIECES.values()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _repeat(piece: Piece, services: Services) -> None:
    """A failure is told and does not end the piece: the next turn tries again."""
    while True:
        try:
            while await piece.work(services):
                pass
        except Exception as error:
            log.exception("background_failed", piece=piece.name, error=type(error).__name__)
        await asyncio.sleep(piece.every_s)
