"""Planned postings against a real server: posted once whatever happens in between, refusals recorded."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import func, select, update

from backoffice.context import SYSTEM, Context
from backoffice.database import Database
from backoffice.ledger import Gateway, Outcome, Posting, open_account, own, plan, settled_by
from backoffice.ledger.gateway import client_for
from backoffice.ledger.plan import ACCOUNT_NUMBERS
from backoffice.ledger.settlement import HANDLERS
from backoffice.ledger.tables import ledger_accounts, posting_groups, postings
from backoffice.settings import Settings
from backoffice.tables import audit_log
from server.client import TransferFlag
from tests.server.serving.harness import ServerProcess

OUTCOMES: list[Outcome] = []
_NUMBERS = itertools.count(1)


class Books:
    """A database, and the way to an engine."""

    def __init__(self, dsn: str, engine: str) -> None:
        self.database = Database.open(dsn, pool_size=8)
        self.gateway = Gateway(self.database, client_for(Settings(database_url=dsn, engine=engine)), resend_s=0.05)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Context]:
        async with self.database.transaction() as connection:
            yield Context(connection, SYSTEM)

    async def close(self) -> None:
        await self.gateway.stop()
        await self.database.close()


@pytest.fixture(scope="module")
def engine_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("engine") / "data") as process:
        process.start()
        yield process
        process.stop()


@pytest.fixture
async def office_with_engine(office_dsn: str, engine_server: ServerProcess) -> AsyncIterator[Books]:
    books = Books(office_dsn, f"127.0.0.1:{engine_server.port}")
    async with books.transaction() as context:
        # The engine is there for the whole module: each database numbers its accounts from another million on.
        first = 10**12 + next(_NUMBERS) * 10**6
        await context.connection.execute(select(func.setval(f"office.{ACCOUNT_NUMBERS.name}", first)))
    yield books
    await books.close()


@pytest.fixture
async def no_engine(office_dsn: str) -> AsyncIterator[Books]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        books = Books(office_dsn, f"127.0.0.1:{probe.getsockname()[1]}")  # bound, and nobody listens
        yield books
        await books.close()


@pytest.fixture(autouse=True)
def _handler(monkeypatch: pytest.MonkeyPatch) -> None:
    OUTCOMES.clear()
    monkeypatch.setitem(HANDLERS, "test", _settled)


async def _settled(context: Context, outcome: Outcome) -> None:
    OUTCOMES.append(outcome)


async def funded(office: Books, amount: int = 10_000) -> tuple[int, int]:
    """Cash, and a customer's account with money on it."""
    async with office.transaction() as context:
        cash = await own(context, 1001)
        account = await open_account(context, "test:1")
        group = await plan(context, "test", "test:1", [Posting(cash, account, amount, 156, 10)])
    assert await office.gateway.settle([group], 20)
    assert OUTCOMES[-1].posted
    return cash, account


async def balance(office: Books, account: int) -> int:
    return (await office.gateway.balances([account]))[account].balance


async def test_planned_then_posted(office_with_engine: Books) -> None:
    office = office_with_engine
    _, account = await funded(office)
    assert await balance(office, account) == 10_000
    async with office.transaction() as context:
        assert (
            await context.connection.scalar(select(ledger_accounts.c.state).where(ledger_accounts.c.id == account))
            == "created"
        )
        assert await context.connection.scalar(select(func.count()).where(audit_log.c.action == "ledger.posted")) == 1


async def test_a_refusal_is_an_outcome_of_the_whole_group(office_with_engine: Books) -> None:
    office = office_with_engine
    cash, account = await funded(office)
    async with office.transaction() as context:
        group = await plan(
            context, "test", "test:2", [Posting(account, cash, 9_000, 156, 10), Posting(account, cash, 1_001, 156, 11)]
        )
    assert await office.gateway.settle([group], 20)
    assert (OUTCOMES[-1].posted, OUTCOMES[-1].reason) == (False, "exceeds_credits")
    assert await balance(office, account) == 10_000


async def test_an_answer_that_was_lost_is_not_a_second_posting(office_with_engine: Books) -> None:
    """As when the office is killed after the engine answered and before the outcome was committed."""
    office = office_with_engine
    cash, account = await funded(office)
    async with office.transaction() as context:
        group = await plan(
            context, "test", "test:3", [Posting(cash, account, 5, 156, 10), Posting(cash, account, 6, 156, 10)]
        )
    assert await office.gateway.settle([group], 20)
    async with office.transaction() as context:
        await context.connection.execute(
            update(posting_groups).where(posting_groups.c.id == group).values(state="planned", settled_at=None)
        )
        await context.connection.execute(update(postings).where(postings.c.group_id == group).values(status=None))
    assert await office.gateway.settle([group], 20)
    assert OUTCOMES[-1].posted
    assert set(OUTCOMES[-1].statuses.values()) == {"exists"}
    assert await balance(office, account) == 10_011


async def test_many_settle_the_same_groups_once(office_with_engine: Books) -> None:
    office = office_with_engine
    cash, account = await funded(office)
    groups = []
    async with office.transaction() as context:
        groups = [await plan(context, "test", f"test:{n}", [Posting(cash, account, 1, 156, 10)]) for n in range(20)]
    await office.gateway.start()
    assert all(await asyncio.gather(*(office.gateway.settle(groups, 30) for _ in range(4))))
    assert len(OUTCOMES) == 21
    assert await balance(office, account) == 10_020


async def test_authorise_and_capture(office_with_engine: Books) -> None:
    office = office_with_engine
    cash, account = await funded(office)
    hold = Posting(account, cash, 4_000, 156, 20, TransferFlag.PENDING, timeout_s=600)
    async with office.transaction() as context:
        held = await plan(context, "test", "test:4", [hold])
        capture = Posting(flags=TransferFlag.POST_PENDING_TRANSFER, pending_id=hold.id, amount_minor=3_000)
        captured = await plan(context, "test", "test:4", [capture])
    assert not await office.gateway.settle([captured], 20), "the capture waits for its hold"
    assert await office.gateway.settle([held, captured], 20)
    assert [outcome.posted for outcome in OUTCOMES] == [True] * 3
    assert await balance(office, account) == 7_000


async def test_without_the_engine_it_stays_planned(no_engine: Books) -> None:
    office = no_engine
    async with office.transaction() as context:
        cash = await own(context, 1001)
        account = await open_account(context, "test:5")
        group = await plan(context, "test", "test:5", [Posting(cash, account, 1, 156, 10)])
    assert not await office.gateway.settle([group], 0.2)
    assert await office.gateway.planned() == (1, 2)
    assert not OUTCOMES


async def test_what_is_rolled_back_was_never_planned(no_engine: Books) -> None:
    office = no_engine

    async def break_off() -> None:
        async with office.transaction() as context:
            account = await open_account(context, "test:6")
            await plan(context, "test", "test:6", [Posting(await own(context, 1001), account, 1, 156, 10)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await break_off()
    assert await office.gateway.planned() == (0, 0)


def test_a_kind_has_one_handler() -> None:
    with pytest.raises(ValueError, match="has a handler already"):
        settled_by("test")(funded)  # type: ignore[arg-type]
