"""One failover under load, timed by what a client sees, and audited."""

import itertools
import threading
import time

from deploy.patroni.local import Cluster, ClusterError
from server.client import Account, BlockingClient, Status, Transfer, uuid7

KINDS = ("postgres", "machine", "switchover", "cut")
"""The primary's PostgreSQL is killed; Patroni and etcd there too; an orderly switch-over; its cable is taken out."""
SETTLED_SECONDS = 1.0
CLIENTS = 4


class _Sender(threading.Thread):
    """Sends one transfer after the other; a request is sent again with the same id until it is answered."""

    def __init__(self, port: int, accounts: tuple[int, int]) -> None:
        super().__init__(daemon=True)
        self.done: list[object] = []
        self.times: list[float] = []
        self.error: BaseException | None = None
        self.ended = threading.Event()
        self._port = port
        self._accounts = accounts

    def run(self) -> None:
        try:
            with BlockingClient("127.0.0.1", self._port, deadline_s=150) as client:
                while not self.ended.is_set():
                    id_ = uuid7()
                    [result] = client.create_transfers([Transfer(id_, *self._accounts, 1, 156, 1)])
                    if result.status not in {Status.CREATED, Status.EXISTS}:
                        raise ClusterError(f"a transfer was answered {result.status.name}")
                    self.done.append(id_)
                    self.times.append(time.monotonic())
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the thread
            self.error = error


def trial(cluster: Cluster, port: int, kind: str) -> tuple[float, int]:
    """Fail over once; return the longest time in which nothing was acknowledged, and how much was in all.

    Raises ClusterError when an acknowledged transfer is not there, or one is there twice.
    """
    cluster.whole()
    first = time.time_ns() % 2**40
    accounts = (first, first + 1)
    with BlockingClient("127.0.0.1", port, deadline_s=60) as client:
        client.create_accounts([Account(number, 156, 1) for number in accounts])
    senders = [_Sender(port, accounts) for _ in range(CLIENTS)]
    for sender in senders:
        sender.start()
    time.sleep(SETTLED_SECONDS)
    leader = cluster.leader
    if leader is None:
        raise ClusterError("nobody leads")
    began = time.monotonic()
    if kind == "postgres":
        cluster.kill(leader, "postgres")
        _settle(senders, began)
    elif kind == "machine":
        cluster.kill(leader, "patroni", "postgres", "etcd")
        _settle(senders, began)
        cluster.revive(leader)
    elif kind == "switchover":
        cluster.switch_over()
        _settle(senders, began)
    else:
        with cluster.cut_off(leader):
            _settle(senders, began)
    for sender in senders:
        sender.ended.set()
    for sender in senders:
        sender.join(160)
        if sender.error is not None:
            raise ClusterError(f"a client saw {sender.error!r}")
    times = sorted(itertools.chain.from_iterable(sender.times for sender in senders))
    count = sum(len(sender.done) for sender in senders)
    with BlockingClient("127.0.0.1", port, deadline_s=60) as client:
        [account] = client.lookup_accounts([accounts[0]])
    if account is None or account.debits_posted != count:
        raise ClusterError(f"{count} transfers were acknowledged, and the account says {account}")
    return max(after - before for before, after in itertools.pairwise(times)), count


def _settle(senders: list[_Sender], began: float) -> None:
    """Wait until each has been answered again for a while, a second after whatever was done."""
    end = time.monotonic() + 120
    while any(not sender.times or sender.times[-1] < began + 1.0 for sender in senders):
        if time.monotonic() > end or any(sender.error for sender in senders):
            raise ClusterError(f"nothing is acknowledged any more: {[sender.error for sender in senders]}")
        time.sleep(0.05)
    time.sleep(SETTLED_SECONDS)
