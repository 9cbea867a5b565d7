"""Planted faults: each breaks one promise of the server or the client, from outside and for one run, and must be found.

Nothing in the server knows of them. A fault that no seed finds would be a hole in the audit, or in what the seeds do.
"""

import asyncio
import ctypes
import re
import time
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from engine.snapshot import Source
from server import batcher, lifecycle, recovery
from server.batcher import Batcher, Boundary
from server.client import calls, codec
from server.client import connection as client_connection
from server.follower import follower
from server.follower.replica import ReplicaBatcher
from server.journal import Journal, Kind, Tail, rows
from server.journal import lease as leases
from server.journal.link import GONE
from server.leadership import Leadership, Watch
from server.lifecycle import Server
from server.snapshots import Snapshotter
from tests.simulation.virtual import Patches

if TYPE_CHECKING:
    from tests.simulation.world import World

Plant = Callable[["World", Patches], None]


class Mutant(NamedTuple):
    """One planted fault."""

    what: str
    plant: Plant
    kinds: tuple[str, ...]
    """The faults of its worlds; none: those that the seed chooses."""


MUTANTS: dict[str, Mutant] = {}


def mutant(what: str, *, kinds: tuple[str, ...] = ()) -> Callable[[Plant], Plant]:
    """Put a planted fault into the table."""

    def enter(plant: Plant) -> Plant:
        MUTANTS[plant.__name__] = Mutant(what, plant, kinds)
        return plant

    return enter


# --- replies, reads and the commit ----------------------------------------------------------------------


@mutant("replies leave when their batch has been applied, not when it is durable")
def reply_before_commit(_: "World", patches: Patches) -> None:
    apply = Batcher._apply

    def at_once(self: Batcher) -> None:
        flight = self._flight
        apply(self)
        if flight is not None and flight is self._flight and flight.applied:
            replies, flight.replies = flight.replies, {}
            for number, data in replies.items():
                if (connection := self.connections.get(number)) is not None:
                    connection.send(data)

    patches.set(Batcher, "_apply", at_once)


@mutant("reads are answered without asking the log who leads", kinds=("split",))
def reads_without_barrier(_: "World", patches: Patches) -> None:
    async def barrier(self: Journal) -> None:
        await asyncio.sleep(0)

    patches.set(Journal, "barrier", barrier)


@mutant("a leader whose lease is good answers reads without asking the log", kinds=("split",))
def lease_as_authority(_: "World", patches: Patches) -> None:
    renew, barrier = Leadership._renew, Journal.barrier

    async def noted(self: Leadership) -> None:
        await renew(self)
        self._journal.good_until = time.monotonic() + self._who.lease_ms / 1e3  # type: ignore[attr-defined]

    async def trusting(self: Journal) -> None:
        if time.monotonic() < getattr(self, "good_until", 0.0):
            await asyncio.sleep(0)
        else:
            await barrier(self)

    patches.set(Leadership, "_renew", noted)
    patches.set(Journal, "barrier", trusting)


@mutant("the replies of two connections are exchanged when a batch has several")
def replies_to_others(_: "World", patches: Patches) -> None:
    together = batcher.together

    def exchanged(runs: list[tuple[int, bytes]]) -> dict[int, bytes]:
        replies = together(runs)
        return dict(zip(replies, reversed(replies.values()), strict=True))

    patches.set(batcher, "together", exchanged)


@mutant("the time of a batch is what the clock says, also when it has gone back", kinds=("clock",))
def clock_not_held(_: "World", patches: Patches) -> None:
    patches.set(batcher, "max", lambda first, *_: first)


# --- the fence ------------------------------------------------------------------------------------------


@mutant("rows are appended wherever the log ends, whoever wrote what stands there")
def fence_off(_: "World", patches: Patches) -> None:
    async def append(self: Journal, at: int, payload: bytes, digest: bytes | None = None) -> int:
        while True:
            try:
                newest = await self.newest()
                seq, checksum = newest.seq + 1, sha256(payload).digest()
                hash_ = rows.row_hash(
                    newest.hash, seq, newest.epoch, at, self._format_of(payload), Kind.BATCH, checksum, digest
                )
                statement = await self._have_statement(seq)
                await statement.fetch(
                    seq, newest.epoch, at, self._format_of(payload), newest.hash, hash_, checksum, digest, payload
                )
            except (*GONE, asyncpg.PostgresError):
                await asyncio.sleep(0.01)
                continue
            self.head = newest._replace(seq=self.head.seq + 1, hash=hash_)  # what it thinks of the log is its own
            return self.head.seq

    async def renew(self: Leadership) -> None:
        """Nor does it hear from the lease that another leads."""

    patches.set(Journal, "append", append)
    patches.set(Leadership, "_renew", renew)


@mutant("an append of unknown outcome is taken for one that succeeded")
def unknown_is_success(_: "World", patches: Patches) -> None:
    settled = Journal._settled

    async def guessing(self: Journal, future: Any, values: Any, failure: BaseException | None) -> None:
        if failure is None:
            await settled(self, future, values, failure)
        else:
            self._appended(future, values)

    patches.set(Journal, "_settled", guessing)


@mutant("an append of unknown outcome is taken for one that failed, and sent again as the next row")
def unknown_is_failure(_: "World", patches: Patches) -> None:
    settle = Journal._settle

    async def again(self: Journal, values: Any, failure: BaseException | None) -> None:
        if failure is not None:
            await asyncio.sleep(0.01)
            newest = await self.newest()
            seq, epoch, at, format_, _, hash_, checksum, digest, payload = values
            if newest.hash == hash_:  # it had succeeded
                hash_ = rows.row_hash(newest.hash, seq + 1, epoch, at, format_, Kind.BATCH, checksum, digest)
                more = (seq + 1, epoch, at, format_, newest.hash, hash_, checksum, digest, payload)
                await settle(self, more, None)
                return
        await settle(self, values, failure)

    patches.set(Journal, "_settle", again)


@mutant("a takeover does not ask whether the log still holds what its state holds", kinds=("lose_rows",))
def takeover_of_a_lost_log(_: "World", patches: Patches) -> None:
    patches.set(Server, "_known", None)


@mutant("a new leader does not read what the old one wrote last")
def takeover_without_the_end(_: "World", patches: Patches) -> None:
    async def enough(journal: Journal, recovered: recovery.Recovered, *_: object) -> None:
        recovered.seq = journal.head.seq

    patches.set(lifecycle, "catch_up", enough)


@mutant("nobody succeeds a first leader that died before it claimed its lease", kinds=("kill",))
def no_heir(_: "World", patches: Patches) -> None:
    judge = Watch._judge

    def waiting(self: Watch, held: leases.Lease | None) -> str:
        return "" if held is None and self._epoch else judge(self, held)

    patches.set(Watch, "_judge", waiting)


# --- replay, followers, replicas --------------------------------------------------------------------------


@mutant("a follower leaves out every seventh row")
def follower_skips_a_row(_: "World", patches: Patches) -> None:
    apply_rows = recovery.apply_rows

    def most(recovered: recovery.Recovered, some: Any, batch: Any, applied: Any = recovery._ignore) -> None:
        for row in some:
            if row.seq % 7 == 0:
                recovered.seq, recovered.epoch, recovered.log_hash = row.seq, row.epoch, row.hash
                applied(row, None)
            else:
                apply_rows(recovered, (row,), batch, applied)

    patches.set(follower, "apply_rows", most)


@mutant("recovery leaves out the last batch of the log")
def recovery_forgets_the_last_row(_: "World", patches: Patches) -> None:
    apply_rows = recovery.apply_rows

    def all_but_one(recovered: recovery.Recovered, some: Any, batch: Any, applied: Any = recovery._ignore) -> None:
        *others, last = some
        apply_rows(recovered, others, batch, applied)
        recovered.seq, recovered.epoch, recovered.log_hash = last.seq, last.epoch, last.hash

    patches.set(recovery, "apply_rows", all_but_one)


@mutant("a follower lets pending transfers expire by its own clock", kinds=("clock",))
def expiry_by_own_clock(_: "World", patches: Patches) -> None:
    apply = follower.Follower.apply

    def ticking(self: follower.Follower, some: Any, first: int = 0) -> int:
        place = apply(self, some, first)
        engine = self.engine
        if 0 < engine.next_expiry <= time.time_ns():
            engine.tick(max(engine.next_expiry, engine.last_timestamp + 1), self._batch)
        return place

    patches.set(follower.Follower, "apply", ticking)


@mutant("a follower whose session was lost does not ask for its newest row again", kinds=("lose_rows",))
def tail_does_not_ask_again(_: "World", patches: Patches) -> None:
    async def trusting(self: Tail, link: object) -> None:
        await asyncio.sleep(0)

    patches.set(Tail, "_still_there", trusting)


@mutant("payloads are not held against their checksums", kinds=("flip_row",))
def checksum_not_compared(_: "World", patches: Patches) -> None:
    check = rows.Chain.check

    def lenient(self: rows.Chain, row: rows.Row) -> None:
        check(self, row._replace(payload=_KnownPayload(row.checksum)))  # type: ignore[arg-type]

    patches.set(rows.Chain, "check", lenient)
    patches.set(rows, "sha256", lambda data: data if isinstance(data, _KnownPayload) else sha256(data))


class _KnownPayload:
    """Something whose checksum is whatever the row says."""

    def __init__(self, checksum: bytes) -> None:
        self._checksum = checksum

    def digest(self) -> bytes:
        return self._checksum


@mutant("rows are not held against the hash of the row before them", kinds=("rewrite_row",))
def chain_not_compared(_: "World", patches: Patches) -> None:
    check = rows.Chain.check

    def lenient(self: rows.Chain, row: rows.Row) -> None:
        self.hash = None
        check(self, row)

    patches.set(rows.Chain, "check", lenient)


@mutant("a replica answers without waiting for the entry that it is asked for")
def min_seq_ignored(_: "World", patches: Patches) -> None:
    moved = ReplicaBatcher.moved

    def ahead(self: ReplicaBatcher, row: Any, batch: Any) -> None:
        moved(self, row, batch)
        self.position.seq = row.seq + 1_000_000

    patches.set(ReplicaBatcher, "moved", ahead)


# --- snapshots --------------------------------------------------------------------------------------------


@mutant("a snapshot is begun while the newest batch is not durable yet")
def snapshot_ahead_of_the_log(_: "World", patches: Patches) -> None:
    apply = Batcher._apply

    def early(self: Batcher) -> None:
        apply(self)
        if self._flight is not None and self._flight.logged and not self._flight.confirmed:
            self._on_boundary(Boundary(self.seq, 0))

    patches.set(Batcher, "_apply", early)


@mutant("a stop that was cut short takes a last snapshot of whatever is in memory", kinds=("stop_in_the_dark",))
def last_snapshot_of_anything(_: "World", patches: Patches) -> None:
    patches.set(Batcher, "ahead", False)


@mutant("a snapshot says that it is of the row before")
def snapshot_of_another_row(world: "World", patches: Patches) -> None:
    begin = Snapshotter.begin

    def earlier(self: Snapshotter, seq: int, log_hash: bytes) -> None:
        if 1 < seq < len(world.database.rows):
            seq, log_hash = seq - 1, world.database.rows[seq - 1].hash
        begin(self, seq, log_hash)

    patches.set(Snapshotter, "begin", earlier)


@mutant("a snapshot whose bytes have changed is accepted", kinds=("tear",))
def torn_snapshot_accepted(_: "World", patches: Patches) -> None:
    patches.set(Source, "verify", lambda self: self._hash.digest())


@mutant("ids of transfers are lost when a snapshot is restored")
def dedupe_lost_in_snapshot(_: "World", patches: Patches) -> None:
    read = recovery._read_snapshot

    def forgetful(*arguments: Any) -> Any:
        engine = read(*arguments)
        transfers = engine.array("transfers")
        # The tables hold what they find against the ids in the store, which the array is a view of.
        first = transfers["id_hi"].ctypes.data
        for slot in range(len(transfers)):
            ctypes.c_uint64.from_address(first + slot * transfers.dtype.itemsize).value ^= 1
        return engine

    patches.set(recovery, "_read_snapshot", forgetful)


# --- the client -------------------------------------------------------------------------------------------


@mutant("the client sends what had no answer again under a new id")
def client_retries_with_new_id(_: "World", patches: Patches) -> None:
    take_back = client_connection.Connection._take_back

    def renamed(self: client_connection.Connection) -> None:
        for pending in self._sent:
            pending.line = re.sub(rb'("id":"[0-9a-f-]{35})[0-9a-f]"', rb'\1f"', pending.line)
        take_back(self)

    patches.set(client_connection.Connection, "_take_back", renamed)


@mutant("the client forgets calls that were given up, and gives their answers to the next")
def client_takes_anothers_answer(_: "World", patches: Patches) -> None:
    on_line = client_connection.Connection._on_line

    def careless(self: client_connection.Connection, line: bytes) -> None:
        while self._sent and self._sent[0].future.done():
            self._sent.popleft()
        if self._sent:
            self._sent[0].id = codec.decode_reply(line).id  # type: ignore[assignment]
            on_line(self, line)

    patches.set(client_connection.Connection, "_on_line", careless)


@mutant("the client cuts a linked chain into two requests")
def chain_cut_in_two(_: "World", patches: Patches) -> None:
    pieces = calls.pieces

    def halves(flags: Any, linked: int, items_max: int) -> Any:
        for piece in pieces(flags, linked, items_max):
            middle = (piece.start + piece.stop) // 2
            if linked == calls.TRANSFER_LINKED and piece.stop - piece.start > 2:
                yield slice(piece.start, middle)
                yield slice(middle, piece.stop)
            else:
                yield piece

    patches.set(calls, "pieces", halves)
