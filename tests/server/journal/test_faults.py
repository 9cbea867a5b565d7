"""What is acknowledged stays, exactly once, whatever happens between us and the database."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from server.journal import Fenced, Journal, JournalClosed, JournalError, Kind, PrivatePostgres, schema
from server.journal.cluster import PORT
from tests.server.journal.proxy import FaultyProxy


class Load:
    """Appends numbered payloads in the background and keeps which were acknowledged."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.acknowledged: dict[int, bytes] = {}
        self.stopping = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        number = 0
        while not self.stopping:
            payload = b"%d:" % number + os.urandom(random.randrange(3000))
            seq = await self.journal.append(time.time_ns(), payload)
            assert seq not in self.acknowledged
            self.acknowledged[seq] = payload
            number += 1
            if number % 5 == 0:
                await self.journal.barrier()

    async def wait_for(self, more: int) -> None:
        """Return when `more` rows have been acknowledged from now on."""
        wanted = len(self.acknowledged) + more
        async with asyncio.timeout(60):
            while len(self.acknowledged) < wanted:
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.002)

    async def stop_and_check(self) -> None:
        """Every acknowledged row is there once, and nothing else but perhaps one more that nobody was told of."""
        self.stopping = True
        async with asyncio.timeout(60):
            await self.task
        rows = [row async for row in self.journal.read(1)]
        found = {row.seq: row.payload for row in rows if row.kind == Kind.BATCH}
        assert found == self.acknowledged
        assert self.journal.trouble is None


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[PrivatePostgres]:
    """A cluster that a test may mistreat."""
    postgres = PrivatePostgres(tmp_path, wal_size=64 << 20, shared_buffers=32 << 20, prime=False)
    await postgres.start()
    yield postgres
    await postgres.stop()


async def lead(dsn: str, **options: int) -> Journal:
    journal = await Journal.open(dsn, partition_rows=options.get("partition_rows", 64))
    await journal.take_over()
    return journal


async def execute(dsn: str, command: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(command)
    finally:
        await connection.close()


def through(proxy: FaultyProxy, dsn: str) -> str:
    return f"postgresql://tongbao@127.0.0.1:{proxy.port}/{urlsplit(dsn).path[1:]}"


def proxy_for(dsn: str) -> FaultyProxy:
    return FaultyProxy(Path(parse_qs(urlsplit(dsn).query)["host"][0]) / f".s.PGSQL.{PORT}")


TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'tongbao'
"""
CANCEL = TERMINATE.replace("terminate", "cancel")


@pytest.mark.parametrize("command", [TERMINATE, CANCEL], ids=["terminate", "cancel"])
async def test_sessions_ended_by_an_operator(any_database: str, command: str) -> None:
    journal = await lead(any_database)
    load = Load(journal)
    killer = await asyncpg.connect(any_database)
    for _ in range(20):
        await load.wait_for(random.randrange(5))
        await asyncio.sleep(random.random() * 0.003)
        await killer.execute(command)
    await load.wait_for(5)
    await load.stop_and_check()
    await killer.close()
    await journal.close()


@pytest.mark.crash
async def test_the_postmaster_killed_under_load(own_postgres: PrivatePostgres) -> None:
    journal = await lead(own_postgres.dsn)
    load = Load(journal)
    for kill in range(3):
        await load.wait_for(20)
        await asyncio.sleep(random.random() * 0.01)
        os.kill(own_postgres.pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while own_postgres.restarts == kill:
                await asyncio.sleep(0.01)
    await load.wait_for(20)
    await load.stop_and_check()
    await journal.close()


@pytest.mark.crash
async def test_a_backend_killed_under_load(own_postgres: PrivatePostgres) -> None:
    """PostgreSQL then ends all sessions and replays its log, with the postmaster staying."""
    journal = await lead(own_postgres.dsn)
    load = Load(journal)
    for _ in range(3):
        await load.wait_for(20)
        pid = await execute(
            own_postgres.dsn,
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'tongbao' ORDER BY random() LIMIT 1",
        )
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(str(pid)), signal.SIGKILL)
        await asyncio.sleep(0.05)
    await load.wait_for(20)
    await load.stop_and_check()
    assert own_postgres.restarts == 0
    await journal.close()


@pytest.mark.parametrize("switch", ["cut_request", "cut_answer"])
async def test_a_connection_cut_before_or_after_the_row_arrived(any_database: str, switch: str) -> None:
    async with proxy_for(any_database) as proxy:
        journal = await lead(through(proxy, any_database))
        for number in range(20):
            proxy.marker = b"payload %d" % number
            setattr(proxy, switch, True)
            seq = await journal.append(time.time_ns(), proxy.marker)
            assert seq == number + 2
        assert proxy.cuts == 20
        rows = [row async for row in journal.read(2)]
        assert [row.payload for row in rows] == [b"payload %d" % number for number in range(20)]
        await journal.close()


@pytest.mark.parametrize("when", ["before the request", "before the answer"])
async def test_a_network_that_swallows_everything(any_database: str, when: str) -> None:
    async with proxy_for(any_database) as proxy:
        journal = await lead(through(proxy, any_database))
        proxy.hole = when == "before the request"
        append = asyncio.ensure_future(journal.append(time.time_ns(), b"patience"))
        if when == "before the answer":
            # The proxy has read the request when it goes deaf, and holds the answer back.
            await asyncio.sleep(0)
            proxy.hole = True
        done, _ = await asyncio.wait([append], timeout=0.5)
        assert not done
        proxy.heal()
        assert await asyncio.wait_for(append, 30) == 2
        # Ending it must not wait for the other side either.
        proxy.hole = True
        began = time.monotonic()
        await journal.close()
        assert time.monotonic() - began < 3
        proxy.heal()


async def test_a_retry_that_meets_its_first_copy_still_under_way(any_database: str) -> None:
    """The server may still be at the first copy when the second arrives: the second waits, and answers once."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO%'"

    async def until_waiting(count: int) -> None:
        async with asyncio.timeout(10):
            while await watch.fetchval(waiting) < count:
                await asyncio.sleep(0.01)

    async with proxy_for(any_database) as proxy:
        journal = await lead(through(proxy, any_database))
        await journal.append(time.time_ns(), b"before")
        watch = await asyncpg.connect(any_database)
        blocker = await asyncpg.connect(any_database)
        transaction = blocker.transaction()
        await transaction.start()
        # Somebody's row with the same number, which will not be committed: whoever appends it waits to know.
        await blocker.execute("INSERT INTO tongbao.log VALUES (3, 1, 0, 0, 1, '', '', '', '', '')")
        append = asyncio.ensure_future(journal.append(time.time_ns(), b"twice"))
        await until_waiting(1)
        # The server is at the first copy. Now the network breaks, which the server does not notice.
        for task in list(proxy._tasks):
            task.cancel()
        await until_waiting(2)
        assert not append.done()
        await transaction.rollback()
        assert await asyncio.wait_for(append, 30) == 3
        assert [row.payload async for row in journal.read(2)] == [b"before", b"twice"]
        await watch.close()
        await blocker.close()
        await journal.close()


@pytest.fixture
async def other_leader(database: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of its own that leads and appends."""
    leader = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.server.journal.paused_leader", database, stdout=asyncio.subprocess.PIPE
    )
    yield leader
    if leader.returncode is None:
        leader.kill()
        await leader.communicate()


async def test_a_paused_leader_can_neither_append_nor_answer(
    database: str, other_leader: asyncio.subprocess.Process
) -> None:
    assert other_leader.stdout is not None
    acknowledged = [int(await other_leader.stdout.readline()) for _ in range(50)]
    other_leader.send_signal(signal.SIGSTOP)
    second = await lead(database)
    end = second.head.seq
    for number in range(10):
        await second.append(time.time_ns(), b"of the new leader %d" % number)
    other_leader.send_signal(signal.SIGCONT)
    text, _ = await asyncio.wait_for(other_leader.communicate(), 30)
    *numbers, last = text.decode().split()
    assert last == "fenced"
    acknowledged += [int(number) for number in numbers]
    rows = [row async for row in second.read(1)]
    assert acknowledged == list(range(2, 2 + len(acknowledged)))
    assert [row.seq for row in rows if row.payload == b"of the paused leader"][: len(acknowledged)] == acknowledged
    assert all(row.seq < end for row in rows if row.payload == b"of the paused leader")
    await second.close()


async def test_a_leader_paused_while_it_makes_a_partition_stops_nobody(any_database: str) -> None:
    first = await Journal.open(any_database, partition_rows=4)
    await first.take_over()
    paused = await asyncpg.connect(any_database)
    making = schema.alone(paused)
    await making.__aenter__()  # and there it stands
    async with asyncio.timeout(20):
        second = await lead(any_database)
        for number in range(10):
            await second.append(time.time_ns(), b"%d" % number)
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await making.__aexit__(None, None, None)
    await second.close()
    await first.close()


async def test_a_takeover_wins_against_a_busy_leader(any_database: str) -> None:
    first = await lead(any_database)
    for _ in range(3):
        load = Load(first)
        await load.wait_for(20)
        second = await lead(any_database)
        with pytest.raises(Fenced):
            await asyncio.wait_for(load.task, 10)
        rows = {row.seq: row.payload async for row in second.read(1)}
        assert load.acknowledged.items() <= rows.items()
        await first.close()
        first = second
    await first.close()


async def test_a_takeover_with_cut_connections_happens_once(any_database: str) -> None:
    async with proxy_for(any_database) as proxy:
        for switch in ("cut_request", "cut_answer"):
            before = await Journal.open(any_database)
            journal = await Journal.open(through(proxy, any_database))
            proxy.marker = b" %d" % os.getpid()  # the end of the takeover's payload
            setattr(proxy, switch, True)
            await journal.take_over()
            assert journal.head.seq == before.head.seq + 1
            assert journal.epoch == before.head.epoch + 1
            await journal.barrier()
            await journal.append(time.time_ns(), b"leads")
            await journal.close()
            await before.close()
        assert proxy.cuts == 2


async def test_a_standby_that_was_not_waited_for_is_not_a_confirmation(own_postgres: PrivatePostgres) -> None:
    dsn = own_postgres.dsn
    journal = await lead(dsn)
    # A standby that does not exist: every commit waits for it.
    await execute(dsn, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await execute(dsn, "SELECT pg_reload_conf()")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'tongbao'"
    watch = await asyncpg.connect(dsn)

    async def until_waiting() -> None:
        async with asyncio.timeout(10):
            while not await watch.fetchval(waiting):
                await asyncio.sleep(0.01)

    async with asyncio.timeout(10):
        while await watch.fetchval("SHOW synchronous_standby_names") != "nobody":
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # the other sessions reload when they are next used
    append = asyncio.ensure_future(journal.append(time.time_ns(), b"waits for nobody"))
    await until_waiting()
    for _ in range(3):
        # The server answers this with a warning and success.
        assert await watch.fetchval(CANCEL) >= 1
        await asyncio.sleep(0.1)
        await until_waiting()
        assert not append.done()
    barrier = asyncio.create_task(journal.barrier())
    await asyncio.sleep(0.3)
    assert not barrier.done()  # a read must not be answered by a server that can commit nothing
    await watch.execute("ALTER SYSTEM RESET synchronous_standby_names")
    await watch.execute("SELECT pg_reload_conf()")
    assert await asyncio.wait_for(append, 10) == 2
    await asyncio.wait_for(barrier, 10)
    assert [row.payload async for row in journal.read(2)] == [b"waits for nobody"]
    await watch.close()
    await journal.close()


async def test_a_cancelled_append_ends_the_journal(any_database: str) -> None:
    async with proxy_for(any_database) as proxy:
        journal = await lead(through(proxy, any_database))
        proxy.hole = True
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(journal.append(time.time_ns(), b"?"), 0.1)
        with pytest.raises(JournalClosed):
            await journal.append(time.time_ns(), b"!")
        with pytest.raises(JournalClosed):
            await journal.barrier()
        proxy.heal()
        await journal.close()


async def test_two_appends_at_once_are_a_mistake(database: str) -> None:
    journal = await lead(database)
    first = asyncio.ensure_future(journal.append(time.time_ns(), b"one"))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="under way"):
        await journal.append(time.time_ns(), b"two")
    await first
    await journal.close()


async def test_a_log_without_its_tables_stops_and_says_so(any_database: str) -> None:
    journal = await lead(any_database)
    await execute(any_database, "DROP SCHEMA tongbao CASCADE")
    with pytest.raises(JournalError):
        await asyncio.wait_for(journal.append(time.time_ns(), b"x"), 10)
    await journal.close()


async def test_reading_goes_on_after_a_lost_session(any_database: str) -> None:
    journal = await lead(any_database)
    for _ in range(300):
        await journal.append(time.time_ns(), b"x" * 100)
    seen = []
    async for row in journal.read(1):
        seen.append(row.seq)
        if row.seq % 50 == 0:
            await execute(any_database, TERMINATE)
    assert seen == list(range(1, 302))
    await journal.close()


async def test_an_ordinary_owner_of_the_database_suffices(any_database: str) -> None:
    name = urlsplit(any_database).path[1:]
    role = f"owner_of_{name}"
    await execute(any_database, f"CREATE ROLE {role} LOGIN")
    await execute(any_database, f"ALTER DATABASE {name} OWNER TO {role}")
    own = any_database.replace("user=tongbao", f"user={role}")
    journal = await lead(own)
    load = Load(journal)
    killer = await asyncpg.connect(any_database)
    for _ in range(5):
        await load.wait_for(30)
        await killer.execute(TERMINATE)
    await load.stop_and_check()
    await killer.close()
    await journal.close()
    await execute(any_database, f"ALTER DATABASE {name} OWNER TO tongbao")
    await execute(any_database, f"DROP OWNED BY {role} CASCADE")
    await execute(any_database, f"DROP ROLE {role}")


async def test_a_database_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    postgres = PrivatePostgres(tmp_path, wal_size=64 << 20, shared_buffers=32 << 20, prime=False)
    dsn = await postgres.start()
    await postgres.stop()
    with pytest.raises(JournalError, match="not there"):
        await Journal.open(dsn, wait=0.1)
    opening = asyncio.create_task(Journal.open(dsn))
    await asyncio.sleep(0.2)
    assert not opening.done()
    await postgres.start()
    journal = await asyncio.wait_for(opening, 10)
    await journal.close()
    await postgres.stop()
