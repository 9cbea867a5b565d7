"""Two data centres: what each layout keeps and loses when one is gone, and how one goes on (docs/CLUSTER.md)."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local_server import free_port
from server.client import BlockingClient, Status, Transfer
from server.process import Exit
from tests.cluster.load import loaded
from tests.cluster.replication import Replication
from tests.server.conftest import SECOND
from tests.server.serving.harness import ServerProcess

pytestmark = pytest.mark.skipif(not (SECOND / "pg_basebackup").exists(), reason=f"no PostgreSQL in {SECOND}")


@pytest.fixture
def world() -> Iterator[Replication]:
    with Replication() as world:
        yield world


def process(tmp_path: Path, name: str, dsn: str, **variables: Any) -> ServerProcess:
    (tmp_path / name).mkdir()
    return ServerProcess(
        tmp_path / name / "data",
        database_url=dsn,
        name=name,
        risk_cache=tmp_path / "kernels",
        **{"standby": "1", "lease_ms": 500, "port": free_port()} | variables,
    )


def follower(tmp_path: Path, name: str, dsn: str) -> ServerProcess:
    (tmp_path / name).mkdir()
    return ServerProcess(tmp_path / name / "data", database_url=dsn, module="server.cli follow")


def accept_loss(server: ServerProcess, dsn: str, *more: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "server.cli", "accept-loss", "--data-dir", str(server.data_dir), "--json"]
    done = subprocess.run(
        [*command, "--database-url", dsn, *more], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}


def last_row(place: Any) -> int:
    return int(place.sql("SELECT max(seq) FROM tongbao.log", database="tongbao"))


def halted(server: ServerProcess, known: int) -> None:
    """It has stopped by itself, and says why."""
    assert server.wait(40) == Exit.LOG_LOST, server.log()
    said = server.event("failed")["message"]
    assert said.startswith("row ")
    assert int(said.split()[1]) >= known
    assert "the log ends at row" in said or "not in the log any more" in said, said


def test_synchronous_across_loses_nothing(tmp_path: Path, world: Replication) -> None:
    """The other centre has confirmed every commit: its server takes over by itself as soon as its database leads."""
    here = world.primary("here")
    there = world.standby("there", here)
    here.sql("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (there)'")
    here.sql("SELECT pg_reload_conf()")
    here.wait_for("SELECT sync_state FROM pg_stat_replication", "sync")
    dsn = world.dsn(here, there)
    with process(tmp_path, "one", dsn) as one, process(tmp_path, "two", dsn) as two:
        one.start()
        two.port = int(two.environment["TONGBAO_PORT"])
        two.start(wait=False)
        with loaded(one.port, two.port) as load:
            time.sleep(0.5)
            one.kill()
            here.kill()
            there.promote()
            load.progress()
        assert load.audit(two.port) > 0
        assert two.stop() == Exit.STOPPED


def test_asynchronous_across_loses_what_was_on_its_way(tmp_path: Path, world: Replication) -> None:
    """Everybody who knows of a row that is gone halts, and stays so until a person decides; then nothing else is lost.

    The first centre has a primary and a synchronous standby, the second a copy that is behind when the first is lost.
    """
    here = world.primary("here")
    beside = world.standby("beside", here)
    there = world.standby("there", here)
    here.sql("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (beside)'")
    here.sql("SELECT pg_reload_conf()")
    dsn = world.dsn(here, beside, there)
    leader, standby = process(tmp_path, "one", dsn), process(tmp_path, "two", dsn)
    near, far = follower(tmp_path, "near", dsn), follower(tmp_path, "far", there.dsn)
    with leader, standby, near, far:
        leader.start()
        for other in (standby, near, far):
            other.start(wait=False)
        near.wait_ready()
        far.wait_ready()
        with loaded(leader.port) as load:
            time.sleep(0.5)
            here.hold_back(there)
            load.progress()
            time.sleep(0.5)
        known = last_row(here)
        load.audit(leader.port)
        for one in (here, beside):
            one.kill()
        there.promote()
        left = last_row(there)
        assert left < known
        halted(leader, left)
        halted(standby, left)
        halted(near, left)
        # Started again they remember nothing but what they noted.
        for server in (leader, standby, near):
            server.start(wait=False)
            halted(server, left)
        # What is lost is the difference, and going on is a decision that must name it.
        only = there.dsn
        code, said = accept_loss(standby, only)
        assert (code, said["common_seq"], said["lost"], said["accepted"]) == (3, left, True, False)
        assert said["known_seq"] > left
        assert accept_loss(standby, only, "--after", str(left - 1))[0] == 3
        code, said = accept_loss(standby, only, "--after", str(left))
        assert (code, said["accepted"]) == (0, True)
        standby.start()
        with BlockingClient("127.0.0.1", standby.port, deadline_s=60) as client:
            there_still = [id_ for id_ in load.done if client.lookup_transfers([id_])[0] is not None]
            gone = [id_ for id_ in load.done if id_ not in set(there_still)]
            assert gone
            assert there_still
            for id_ in gone:
                [result] = client.create_transfers([Transfer(id_, load.debit, load.credit, 1, 156, 1)])
                assert result.status == Status.CREATED
        load.audit(standby.port)
        # The others follow once they have been told of it; who never knew of the loss goes on by itself.
        for server in (leader, near):
            code, said = accept_loss(server, only, "--after", str(left))
            assert (code, said["common_seq"]) == (0, left), said
            server.start(wait=False)
        near.wait_ready()
        assert far.process is not None
        assert far.process.poll() is None, far.log()
        assert accept_loss(far, only)[0] == 2, "it runs"
        leader.stop()
        remarks = there.sql(
            "SELECT count(*) FROM tongbao.metadata WHERE name LIKE 'loss_accepted_%'", database="tongbao"
        )
        assert remarks == "3"
