"""A standby that is ahead of the new primary, on a branch that is over, confirms what it has never seen.

PostgreSQL takes the position that a standby reports for a confirmation of every commit before it, without asking on
which timeline it stands. So after a failover commits may pass for synchronous that are on one machine only. A server
does not fall for it.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.client import Account, BlockingClient
from tests.cluster.replication import Postgres, Replication
from tests.server.conftest import SECOND
from tests.server.serving.harness import ServerProcess

pytestmark = pytest.mark.skipif(not (SECOND / "pg_basebackup").exists(), reason=f"no PostgreSQL in {SECOND}")


@pytest.fixture
def world() -> Iterator[Replication]:
    with Replication() as world:
        yield world


def flushed(standby: Postgres) -> str:
    return standby.sql("SELECT pg_last_wal_receive_lsn()")


@pytest.mark.long
def test_a_standby_that_is_astray_confirms_nothing_to_a_server(tmp_path: Path, world: Replication) -> None:
    old = world.primary("old")
    new = world.standby("new", old)
    astray = world.standby("astray", old)
    with ServerProcess(tmp_path / "data", database_url=world.dsn(old, new, astray)) as server:
        server.start()
        with BlockingClient("127.0.0.1", server.port) as client:
            client.create_accounts([Account(1, 156, 1)])
        server.stop()
        old.wait_for("SELECT count(DISTINCT flush_lsn) FROM pg_stat_replication", "1")
        # Something that only one of the two gets before the primary is lost.
        old.hold_back(new)
        old.sql("SELECT pg_logical_emit_message(true, 'x', repeat('x', 300000))")
        end = old.sql("SELECT pg_current_wal_lsn()")
        old.wait_for(f"SELECT flush_lsn >= '{end}' FROM pg_stat_replication WHERE application_name = 'astray'", "t")
        old.kill()
        assert flushed(new) != flushed(astray)
        new.configure("synchronous_standby_names = '*'")
        new.promote()
        astray.follow(new)
        # PostgreSQL says that this is on a standby.
        new.sql("CREATE TABLE proof ()", database="tongbao")
        assert new.sql("SELECT pg_current_wal_lsn() < '" + end + "'") == "t"
        # A server waits for a standby that really has its rows.
        server.start(wait=False)
        time.sleep(8.0)
        assert server.process is not None
        assert server.process.poll() is None, server.log()
        assert not (server.data_dir / "server.json").exists(), server.log()
        astray.kill()
        world.standby("third", new)
        server.wait_ready()
        with BlockingClient("127.0.0.1", server.port) as client:
            assert client.lookup_accounts([1])[0] is not None
            client.create_accounts([Account(2, 156, 1)])
        server.stop()
