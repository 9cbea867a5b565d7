"""An institution whose office serves HTTP, beside simulated rails that are processes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import select

from backoffice.payments import service
from backoffice.payments.tables import payments
from backoffice.rails import inbox, sending
from backoffice.rails.tables import outbox, rail_events, rails
from tests.backoffice.conftest import Office

ENDS = {"declined", "captured", "voided", "expired", "partly_refunded", "refunded", "reversed"}


@asynccontextmanager
async def serving(office: Office, keys: Path) -> AsyncIterator[str]:
    """Serve the office on a port of its own in this loop; give the address of its callbacks."""
    held = office.app.state.office
    held.settings = replace(held.settings, rail_keys=str(keys))
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        config = uvicorn.Config(office.app, lifespan="off", log_level="warning")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/api/v1/rails"
        finally:
            server.should_exit = True
            await task


async def activate(office: Office, name: str, url: str, **values: Any) -> None:
    async with office.transaction() as context:
        at = rails.c.name == name
        await context.connection.execute(rails.update().where(at).values(url=url, active=True, **values))


async def turn(office: Office, name: str) -> None:
    """One turn of everything that works beside requests, at the true time."""
    office.time = datetime.now(UTC)
    await sending.send_due(office.app.state.office, name)
    await inbox.apply_what_is_left(office.app.state.office)


async def until(office: Office, name: str, condition: Callable[[], Any], seconds: float = 30) -> None:
    """Take turns until something is so."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await turn(office, name)
            await asyncio.sleep(0.02)


async def row_of(office: Office, number: str) -> Any:
    async with office.transaction() as context:
        return await service.get(context, number)


async def all_payments(office: Office, rail: str) -> list[Any]:
    async with office.transaction() as context:
        query = select(payments).where(payments.c.rail == rail).order_by(payments.c.payment_id)
        return [dict(row) for row in (await context.connection.execute(query)).mappings()]


async def orders(office: Office, rail: str) -> list[Any]:
    async with office.transaction() as context:
        query = select(outbox).where(outbox.c.rail == rail).order_by(outbox.c.seq)
        return [dict(row) for row in (await context.connection.execute(query)).mappings()]


async def told(office: Office, rail: str) -> list[Any]:
    async with office.transaction() as context:
        query = select(rail_events).where(rail_events.c.rail == rail).order_by(rail_events.c.seq)
        return [dict(row) for row in (await context.connection.execute(query)).mappings()]
