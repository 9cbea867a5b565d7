"""PostgreSQL fails over under Patroni: the server goes on by itself; nothing acknowledged is lost or there twice."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.patroni.local import Cluster, Machine, missing
from server.process import Exit
from tests.cluster.load import loaded
from tests.server.serving.harness import ServerProcess

TTL = 8
"""Seconds; the shortest that goes with Patroni's shortest pauses, so that the tests do not take longer still."""

KEPT = Path(os.environ["TONGBAO_PATRONI_DIR"]) if "TONGBAO_PATRONI_DIR" in os.environ else None
"""Where the machines' data and logs stay, for whoever wants to know why."""

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
namespaces = pytest.mark.skipif(bool(missing(namespaces=True)), reason=missing(namespaces=True))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(KEPT, namespaces=not missing(namespaces=True), ttl=TTL) as cluster:
        yield cluster


@pytest.fixture
def server(cluster: Cluster, tmp_path: Path) -> Iterator[ServerProcess]:
    """One that has been connected since before the harm is done, and is never restarted."""
    cluster.whole()
    with ServerProcess(tmp_path / "data", database_url=cluster.dsn, queue_delay_ms_max=60_000) as server:
        server.start()
        yield server
        assert server.stop() == Exit.STOPPED, server.log()


def primary(cluster: Cluster) -> Machine:
    leader = cluster.leader
    assert leader is not None
    return leader


def led_by_another(cluster: Cluster, old: Machine) -> None:
    cluster.wait(lambda: cluster.leader not in {None, old}, "another primary")


def test_the_primary_is_killed_and_then_the_other_hands_over(cluster: Cluster, server: ServerProcess) -> None:
    with loaded(server.port) as load:
        old = primary(cluster)
        cluster.kill(old, "postgres")
        led_by_another(cluster, old)
        load.progress()
        cluster.whole()
        cluster.switch_over()
        load.progress()
    assert load.audit(server.port) > 0
    print(f"longest pause {load.pause():.2f} s, {len(load.done)} transfers")


@pytest.mark.long
def test_the_machine_of_the_primary_is_lost(cluster: Cluster, server: ServerProcess) -> None:
    """PostgreSQL, Patroni and etcd there: the others wait until the leader's time in etcd is over."""
    with loaded(server.port) as load:
        old = primary(cluster)
        cluster.kill(old, "patroni", "postgres", "etcd")
        load.progress()
    cluster.revive(old)
    load.audit(server.port)
    assert load.pause() < TTL + 15
    print(f"longest pause {load.pause():.2f} s")


@pytest.mark.long
@namespaces
def test_the_primary_is_cut_off(cluster: Cluster, server: ServerProcess) -> None:
    """Its cable is out: no packet comes back, so nobody says that the sessions are over."""
    with loaded(server.port) as load:
        old = primary(cluster)
        with cluster.cut_off(old):
            time.sleep(0.2)
            count = len(load.done)
            time.sleep(1.0)
            assert len(load.done) == count, "nobody can have confirmed anything"
            load.progress()
            assert primary(cluster) is not old
        cluster.whole()
        load.progress()
    load.audit(server.port)
    print(f"longest pause {load.pause():.2f} s")


@pytest.mark.long
@namespaces
def test_a_primary_that_does_not_know_that_it_was_replaced(cluster: Cluster, server: ServerProcess) -> None:
    """Its Patroni is dead, so nobody stops it; it still answers us, and waits for a standby that has left it.

    It must not have confirmed anything, and the server must find the new primary though no session is lost.
    """
    with loaded(server.port) as load:
        old = primary(cluster)
        cluster.kill(old, "patroni")
        with cluster.alone(old):
            time.sleep(0.2)
            count = len(load.done)
            time.sleep(1.0)
            assert len(load.done) == count, "a synchronous standby that is gone has confirmed nothing"
            assert old.postmaster
            load.progress()
            assert primary(cluster) is not old
            assert old.postmaster, "it is still there and still thinks that it is the primary"
        cluster.kill(old, "postgres")
        cluster.revive(old)
    load.audit(server.port)
    assert server.event("primary_replaced")
    print(f"longest pause {load.pause():.2f} s")
