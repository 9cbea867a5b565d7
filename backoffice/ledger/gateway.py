"""The connection to the engine, the dispatch of planned groups, the worker that sends again, and balances by lookup."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import structlog
from sqlalchemy import func, select

from backoffice import audit
from backoffice.context import SYSTEM, Context, now
from backoffice.database import Database
from backoffice.ledger import settlement
from backoffice.ledger.tables import ledger_accounts, posting_groups
from backoffice.privacy.keyring import Keyring
from backoffice.settings import SettingError, Settings
from server.client import AccountView, Client, ClientError, Logon, TransferView

log = structlog.get_logger("tongbao.office.ledger")

LOOKUP_MAX = 1000


class Gateway:
    """One per process. Each group is settled in a transaction of the system."""

    def __init__(
        self,
        database: Database,
        make_client: Callable[[], Client],
        *,
        clock: Callable[[], datetime] = now,
        resend_s: float = 1.0,
        keys: Keyring | None = None,
    ) -> None:
        self._make_client = make_client
        self._client: Client | None = None
        self._opening = asyncio.Lock()
        self._database = database
        self._clock = clock
        self._resend_s = resend_s
        self._keys = keys
        self._worker: asyncio.Task[None] | None = None

    async def client(self) -> Client:
        """Give the connection, opened on first use: the engine may come up after the office. Raises ClientError."""
        async with self._opening:
            if self._client is None:
                client = self._make_client()
                await client.connect()
                self._client = client
            return self._client

    @property
    def connected(self) -> bool:
        """Whether the engine is connected just now."""
        return self._client is not None and self._client.connected

    async def start(self) -> None:
        """Start the worker; the engine need not be there yet."""
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop the worker and close the connection; what is planned stays planned."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        if self._client is not None:
            await self._client.close()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Context]:
        async with self._database.transaction() as connection:
            yield Context(connection, SYSTEM, self._clock, self._keys)

    # --- balances ---------------------------------------------------------------------------------

    async def balances(self, ids: Sequence[int]) -> dict[int, AccountView]:
        """Look accounts up in the engine; those it does not have are left out. Raises ClientError."""
        found: dict[int, AccountView] = {}
        for start in range(0, len(ids), LOOKUP_MAX):
            views = await (await self.client()).lookup_accounts(ids[start : start + LOOKUP_MAX])
            found |= {view.id: view for view in views if view is not None}
        return found

    async def transfers(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, TransferView]:
        """Look transfers up in the engine; those it does not have are left out. Raises ClientError."""
        found: dict[uuid.UUID, TransferView] = {}
        for start in range(0, len(ids), LOOKUP_MAX):
            views = await (await self.client()).lookup_transfers(ids[start : start + LOOKUP_MAX])
            found |= {view.id: view for view in views if view is not None}
        return found

    # --- settlement -------------------------------------------------------------------------------

    async def settle(self, groups: Iterable[uuid.UUID], wait_s: float) -> bool:
        """Send groups just planned, in order; return whether all have an outcome. The engine never makes it raise."""
        try:
            async with asyncio.timeout(wait_s):
                for group in groups:
                    if not await self._settle_one(group):
                        return False
        except TimeoutError:
            return False
        return True

    async def _settle_one(self, group: uuid.UUID | None) -> bool:
        """Settle one group; with None the next that is due. False: there was none, or the engine gave no outcome."""
        locked = None
        try:
            async with self._transaction() as context:
                locked = await settlement.lock_group(context.connection, group)
                if locked is None:
                    if group is None:
                        return False
                    state = await context.connection.scalar(
                        select(posting_groups.c.state).where(posting_groups.c.id == group)
                    )
                    return bool(state != "planned")
                outcome = await settlement.send_group(context.connection, await self.client(), locked)
                handler = settlement.HANDLERS.get(outcome.kind)
                if handler is not None:
                    await handler(context, outcome)
                await audit.record(
                    context,
                    "ledger.posted" if outcome.posted else "ledger.refused",
                    outcome.subject,
                    {"group": str(outcome.group), "reason": outcome.reason},
                )
                return True
        except ClientError as error:
            log.warning("posting_without_outcome", group=str(locked.id) if locked else None, error=str(error))
            if locked is not None:
                async with self._transaction() as context:
                    await settlement.note_failure(context.connection, locked.id, error)
            return False

    async def _work(self) -> None:
        """Send what was planned and not settled, for ever. A fault of one group does not stop the others."""
        while True:
            try:
                while await self._settle_one(None):
                    pass
                async with self._transaction() as context:
                    await settlement.create_accounts(context.connection, await self.client())
            except asyncio.CancelledError:
                raise
            except ClientError as error:
                log.warning("engine_away", error=str(error))
            except Exception as error:
                log.exception("posting_worker", error=type(error).__name__)
            await asyncio.sleep(self._resend_s)

    async def planned(self) -> tuple[int, int]:
        """How many groups and accounts wait for the engine."""
        async with self._transaction() as context:
            groups = select(func.count()).select_from(posting_groups).where(posting_groups.c.state == "planned")
            accounts = select(func.count()).select_from(ledger_accounts).where(ledger_accounts.c.state == "planned")
            return int(await context.connection.scalar(groups) or 0), int(
                await context.connection.scalar(accounts) or 0
            )


def client_for(settings: Settings) -> Callable[[], Client]:
    """Make what makes connections to the engine that the settings name. Raises SettingError."""
    host, _, port = settings.engine.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingError(f"engine: {settings.engine!r} is not HOST:PORT")
    logon = None
    if settings.engine_channel:
        try:
            key = Path(settings.engine_key_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"engine_key_file: {error}") from None
        logon = Logon(settings.engine_channel, key, True)
    return lambda: Client(host.strip("[]"), int(port), logon=logon, deadline_s=10.0, connect_deadline_s=0)
