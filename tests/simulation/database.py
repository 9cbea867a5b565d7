"""The database of a simulated world: the log's tables, the lease, and the statements that the server sends.

Statements are known by their text, word by word; a statement that is not known is a fault of the simulation and ends
the run, so that nobody changes what is sent without saying here what it means. Only the conditions of an append and
of a takeover are read from the text: a planted fault takes one away.

A statement is executed at one moment and is atomic. What came of it is decided here; whether anybody hears of it is
the affair of `tests.simulation.sessions`.
"""

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Self

import asyncpg

from server.journal.rows import NO_HASH, Kind, Row, row_hash
from tests.simulation.loop import EPOCH_NS, Node, SimulatedLoop

LOG_ID = bytes(range(16))
Answer = tuple[list["Record"], str]
"""Rows and status."""


class UnknownStatementError(AssertionError):
    """The server sent what the simulation has not been taught."""


class Record(tuple[Any, ...]):
    """A row of an answer, by place and by name."""

    names: tuple[str, ...]

    def __new__(cls, names: Sequence[str], values: Sequence[Any]) -> Self:
        record = super().__new__(cls, values)
        record.names = tuple(names)
        return record

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.names.index(key) if isinstance(key, str) else key)


def _one(value: Any) -> Answer:
    return [Record(("value",), (value,))], "SELECT 1"


COLUMNS = ("seq", "epoch", "time", "format", "kind", "previous_hash", "hash", "checksum", "digest", "payload")
_TABLE = r"tongbao\.log_(\d{10})"
_ANY_TABLE = r"tongbao\.log_\d{10}"
_INSERT_COLUMNS = r"\(seq, epoch, time, format, kind, previous_hash, hash, checksum, digest, payload\)"
_SELECT_COLUMNS = "seq, epoch, time, format, kind, previous_hash, hash, checksum, digest, payload"


class Database:
    """See the head of this file."""

    def __init__(self, loop: SimulatedLoop, node: Node, trace: Callable[..., None], partition_rows: int) -> None:
        self.loop = loop
        self.node = node
        self._trace = trace
        self.partition_rows = partition_rows
        self.rows: list[Row] = []
        """Committed, in order."""
        self.times: list[float] = []
        """When each was committed."""
        self.partitions = {0}
        self.damaged: dict[int, Row] = {}
        """Rows that are read otherwise than they were written."""
        self.lost: list[Row] = []
        """Rows that were committed and are gone."""
        self.lost_at = 0.0
        self.leader: dict[str, Any] | None = None
        self.standbys: dict[str, Any] = {}
        self.has_lease = True
        self.sessions: dict[int, Any] = {}
        """Those that the database believes in, by pid."""
        self.on_commit: Callable[[Row], None] = lambda _: None
        self.read_damage: dict[int, set[str]] = {}
        """Who has been given a damaged row."""
        self._known: dict[str, Callable[..., Answer]] = {}
        checksum = sha256(LOG_ID).digest()
        first = EPOCH_NS - 1_000_000_000
        hash_ = row_hash(NO_HASH, 0, 0, first, 0, Kind.GENESIS, checksum, None)
        self._commit(Row(0, 0, first, 0, Kind.GENESIS, NO_HASH, hash_, checksum, None, LOG_ID))

    # --- rows

    @property
    def head(self) -> Row:
        """The newest row."""
        return self.rows[-1]

    def _commit(self, row: Row) -> None:
        self.rows.append(row)
        self.times.append(self.loop.now)
        self._trace("row", row.seq, row.epoch, Kind(row.kind).name, row.hash.hex()[:12])
        self.on_commit(row)

    def lose(self, count: int) -> None:
        """Forget the newest rows: a failover to a standby that had not got them."""
        keep = max(1, len(self.rows) - count)
        self.lost = self.rows[keep:]
        self.lost_at = self.loop.now
        del self.rows[keep:], self.times[keep:]

    def shown(self, seq: int, session: Any) -> Row | None:
        """Return a row as it is read."""
        if not 0 <= seq < len(self.rows):
            return None
        if seq in self.damaged:
            self.read_damage.setdefault(seq, set()).add(session.node.name)
            return self.damaged[seq]
        return self.rows[seq]

    def _table(self, number: str, session: Any) -> range:
        partition = int(number)
        if partition not in self.partitions and partition not in session.made:
            raise asyncpg.UndefinedTableError(f'relation "log_{number}" does not exist')
        first = partition * self.partition_rows
        return range(first, first + self.partition_rows)

    def _insert(self, row: Row, table: range) -> None:
        if row.seq not in table:
            raise asyncpg.CheckViolationError("the row is not of this partition")
        if row.seq < len(self.rows):
            raise asyncpg.UniqueViolationError("duplicate key value violates unique constraint")
        if row.seq != len(self.rows):
            raise UnknownStatementError(f"row {row.seq} behind row {len(self.rows) - 1}")
        self._commit(row)

    # --- statements

    def execute(self, session: Any, text: str, arguments: Sequence[Any]) -> Answer:
        """Execute a statement. Raises what PostgreSQL would."""
        return self.plan(text)(session, *arguments)

    def plan(self, text: str) -> Callable[..., Answer]:
        """Return what a statement means."""
        plan = self._known.get(text)
        if plan is None:
            words = " ".join(text.split())
            for pattern, method in _STATEMENTS:
                match = pattern.fullmatch(words)
                if match is not None:
                    plan = getattr(self, method)(*match.groups())
                    break
            else:
                raise UnknownStatementError(f"the simulation does not know this statement: {words[:300]}")
            self._known[text] = plan
        return plan

    def _constant(self, _: str) -> Callable[..., Answer]:
        return lambda _: ([], "SELECT 0")

    def _false(self) -> Callable[..., Answer]:
        return lambda _: _one(False)

    def _settings(self) -> Callable[..., Answer]:
        names = ("fsync", "full_page_writes", "synchronous_commit")
        return lambda _: ([Record(names, ("on", "on", "on"))], "SELECT 1")

    def _has_table(self) -> Callable[..., Answer]:
        def has(session: Any, name: str) -> Answer:
            if name.startswith("log_"):
                number = int(name[4:])
                return _one(number in self.partitions or number in session.made)
            return _one(name == "metadata" or (name in {"leader", "standby"} and self.has_lease))

        return has

    def _metadata(self) -> Callable[..., Answer]:
        facts = (("schema_version", "1"), ("log_id", LOG_ID.hex()), ("partition_rows", str(self.partition_rows)))
        return lambda _: ([Record(("name", "value"), fact) for fact in facts], "SELECT 3")

    def _list_partitions(self) -> Callable[..., Answer]:
        def names(session: Any) -> Answer:
            found = sorted(self.partitions | session.made)
            return [Record(("relname",), (f"log_{number:010d}",)) for number in found], "SELECT"

        return names

    def _make_partition(self, number: str) -> Callable[..., Answer]:
        def make(session: Any) -> Answer:
            session.made.add(int(number))
            return [], "CREATE TABLE"

        return make

    def _newest(self, number: str) -> Callable[..., Answer]:
        def newest(session: Any) -> Answer:
            table = self._table(number, session)
            last = min(len(self.rows), table.stop) - 1
            row = self.shown(last, session) if last >= table.start else None
            return ([] if row is None else [Record(COLUMNS, row)]), "SELECT"

        return newest

    def _page(self, number: str) -> Callable[..., Answer]:
        def page(session: Any, first: int, last: int, limit: int) -> Answer:
            table = self._table(number, session)
            end = min(last + 1, first + limit, len(self.rows), table.stop)
            rows = [self.shown(seq, session) for seq in range(max(first, table.start), end)]
            return [Record(COLUMNS, row) for row in rows if row is not None], "SELECT"

        return page

    def _column(self, column: str, number: str) -> Callable[..., Answer]:
        def value(session: Any, seq: int, *more: Any) -> Answer:
            row = self.shown(seq, session) if seq in self._table(number, session) else None
            if row is None:
                return [], "SELECT 0"
            return _one(row.hash if column == "hash" else row.payload == more[0])

        return value

    def _append(self, target: str, source: str, conditions: str) -> Callable[..., Answer]:
        terms = set(conditions.split(" AND "))
        known = {"seq = $1 - 1", "epoch = $2", "hash = $5"}
        if not terms <= known:
            raise UnknownStatementError(f"conditions of an append: {conditions}")

        def append(session: Any, *values: Any) -> Answer:
            seq, epoch, time, format_, previous, hash_, checksum, digest, payload = values
            self._table(source, session)
            table = self._table(target, session)
            before = self.rows[seq - 1] if 0 < seq <= len(self.rows) else None
            if (
                before is None
                or ("epoch = $2" in terms and before.epoch != epoch)
                or ("hash = $5" in terms and before.hash != previous)
            ):
                return [], "INSERT 0 0"
            row = Row(seq, epoch, time, format_, Kind.BATCH, previous, hash_, checksum, digest, payload)
            self._insert(row, table)
            return [], "INSERT 0 1"

        return append

    def _take_over(self, target: str, source: str, condition: str | None) -> Callable[..., Answer]:
        def take_over(session: Any, now: int, format_: int, checksum: bytes, token: bytes, epoch: int) -> Answer:
            self._table(source, session)
            table = self._table(target, session)
            head = self.head
            if head.seq // self.partition_rows != int(source) or (condition and head.epoch != epoch):
                return [], "INSERT 0 0"
            seq, time = head.seq + 1, max(now, head.time)
            hash_ = row_hash(head.hash, seq, head.epoch + 1, time, format_, Kind.TAKEOVER, checksum, None)
            row = Row(seq, head.epoch + 1, time, format_, Kind.TAKEOVER, head.hash, hash_, checksum, None, token)
            self._insert(row, table)
            names = ("seq", "epoch", "time", "previous_hash", "hash")
            return [Record(names, (row.seq, row.epoch, row.time, row.previous_hash, row.hash))], "INSERT 0 1"

        return take_over

    def _barrier(self, source: str, newest: str) -> Callable[..., Answer]:
        def barrier(session: Any, seq: int) -> Answer:
            here, there = self._table(source, session), self._table(newest, session)
            last = min(len(self.rows), there.stop) - 1
            if last < there.start:
                return [], "SELECT 0"
            row = self.rows[last]
            known = self.rows[seq].hash if seq in here and seq < len(self.rows) else None
            return [Record(("seq", "epoch", "hash", "case"), (row.seq, row.epoch, known, None))], "SELECT 1"

        return barrier

    # --- the lease

    def _claim(self) -> Callable[..., Answer]:
        def claim(session: Any, epoch: int, name: str, address: str, lease_ms: int) -> Answer:
            before = self.leader
            if before is not None and before["epoch"] > epoch:
                return [], "INSERT 0 0"
            kept = before["successor"] if before is not None and before["epoch"] == epoch else ""
            self.leader = {
                "epoch": epoch, "name": name, "address": address, "pid": session.pid, "renewed": self.loop.now,
                "lease_ms": lease_ms, "released": False, "successor": kept,
            }  # fmt: skip
            return [], "INSERT 0 1"

        return claim

    def _renew(self) -> Callable[..., Answer]:
        def renew(session: Any, epoch: int, address: str) -> Answer:
            row = self.leader
            if row is None or row["epoch"] != epoch or row["released"] or row["pid"] != session.pid:
                return [], "UPDATE 0"
            row |= {"renewed": self.loop.now, "address": address}
            return [Record(("successor",), (row["successor"],))], "UPDATE 1"

        return renew

    def _release(self) -> Callable[..., Answer]:
        def release(session: Any, epoch: int) -> Answer:
            if self.leader is None or self.leader["epoch"] != epoch:
                return [], "UPDATE 0"
            self.leader["released"] = True
            return [], "UPDATE 1"

        return release

    def _look(self) -> Callable[..., Answer]:
        names = ("epoch", "name", "address", "lease_ms", "released", "successor", "age_ms", "connected")

        def look(session: Any) -> Answer:
            row = self.leader
            if row is None:
                return [], "SELECT 0"
            age = round((self.loop.now - row["renewed"]) * 1e3)
            values = [row[name] for name in names[:6]]
            return [Record(names, (*values, age, row["pid"] in self.sessions))], "SELECT 1"

        return look

    def _register(self) -> Callable[..., Answer]:
        def register(session: Any, name: str, address: str, seq: int) -> Answer:
            self.standbys[name] = (address, seq, self.loop.now)
            return [], "INSERT 0 1"

        return register

    def _leave(self) -> Callable[..., Answer]:
        def leave(session: Any, name: str) -> Answer:
            return [], f"DELETE {int(self.standbys.pop(name, None) is not None)}"

        return leave

    def _hand_over(self) -> Callable[..., Answer]:
        def hand_over(session: Any, successor: str) -> Answer:
            if self.leader is None or self.leader["released"]:
                return [], "UPDATE 0"
            self.leader["successor"] = successor
            return [], "UPDATE 1"

        return hand_over


def _literally(text: str) -> str:
    """Return a pattern for a statement: `{table}` stands for a partition, all else for itself."""
    return re.escape(" ".join(text.split())).replace(r"\{table\}", _TABLE)


_STATEMENTS: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern), method)
    for pattern, method in (
        ((r"(SELECT|SET synchronous_commit = (?:on|off)|SET LOCAL idle_in_transaction_session_timeout = \d+|"
         r"SELECT pg_advisory_xact_lock\(\d+\)|SELECT pg_logical_emit_message\(true, 'tongbao', ''\)|"
         rf"ALTER TABLE tongbao\.log ATTACH PARTITION {_ANY_TABLE} FOR VALUES FROM \(\d+\) TO \(\d+\)|"
         rf"ALTER TABLE {_ANY_TABLE} DROP CONSTRAINT bounds)"), "_constant"),
        (_literally("SELECT pg_is_in_recovery()"), "_false"),
        (_literally(
            "SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes, "
            "current_setting('synchronous_commit') AS synchronous_commit"), "_settings"),
        (_literally(
            "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
            "WHERE nspname = 'tongbao' AND relname = $1)"), "_has_table"),
        (_literally("SELECT name, value FROM tongbao.metadata"), "_metadata"),
        (_literally(
            "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
            "WHERE inhparent = 'tongbao.log'::regclass AND NOT inhdetachpending ORDER BY relname"), "_list_partitions"),
        ((rf"CREATE TABLE {_TABLE} \(LIKE tongbao\.log INCLUDING ALL, CONSTRAINT bounds CHECK \(seq >= \d+ AND seq < "
         r"\d+\)\) WITH \(autovacuum_enabled = off, toast\.autovacuum_enabled = off\)"),
         "_make_partition"),
        (_literally(f"SELECT {_SELECT_COLUMNS} FROM {{table}} ORDER BY seq DESC LIMIT 1"), "_newest"),
        (_literally(
            f"SELECT {_SELECT_COLUMNS} FROM {{table}} WHERE seq BETWEEN $1 AND $2 ORDER BY seq LIMIT $3"), "_page"),
        (rf"SELECT (hash) FROM {_TABLE} WHERE seq = \$1", "_column"),
        (rf"SELECT (payload) = \$2 FROM {_TABLE} WHERE seq = \$1", "_column"),
        ((rf"INSERT INTO {_TABLE} {_INSERT_COLUMNS} SELECT \$1::bigint, \$2::bigint, \$3::bigint, \$4::smallint, 1, "
         r"\$5::bytea, \$6::bytea, \$7::bytea, \$8::bytea, \$9::bytea WHERE EXISTS "
         rf"\(SELECT FROM {_TABLE} WHERE ([^()]+)\)"), "_append"),
        ((rf"INSERT INTO {_TABLE} {_INSERT_COLUMNS} SELECT seq \+ 1, epoch \+ 1, greatest\(\$1::bigint, time\), "
         r"\$2::smallint, 2, hash, sha256\(hash \|\| int8send\(seq \+ 1\) \|\| int8send\(epoch \+ 1\) \|\| "
         r"int8send\(greatest\(\$1::bigint, time\)\) \|\| int2send\(\$2::smallint\) \|\| int2send\(2::smallint\) \|\| "
         r"\$3::bytea\), \$3::bytea, NULL, \$4::bytea FROM \(SELECT seq, epoch, time, hash FROM "
         rf"{_TABLE} ORDER BY seq DESC LIMIT 1\) AS head( WHERE epoch = \$5::bigint)? "
         r"RETURNING seq, epoch, time, previous_hash, hash"), "_take_over"),
        (_literally(
            "SELECT seq, epoch, (SELECT hash FROM {table} WHERE seq = $1) AS hash, "
            "CASE WHEN current_setting('synchronous_standby_names') <> '' "
            "THEN pg_logical_emit_message(true, 'tongbao', '') END FROM {table} ORDER BY seq DESC LIMIT 1"),
         "_barrier"),
        (_literally(
            "INSERT INTO tongbao.leader (epoch, name, address, pid, session_start, renewed, lease_ms, released, "
            "successor) SELECT $1, $2, $3, pid, backend_start, clock_timestamp(), $4, false, '' "
            "FROM pg_stat_activity WHERE pid = pg_backend_pid() ON CONFLICT (one) DO UPDATE SET "
            "epoch = excluded.epoch, name = excluded.name, address = excluded.address, pid = excluded.pid, "
            "session_start = excluded.session_start, renewed = excluded.renewed, lease_ms = excluded.lease_ms, "
            "released = false, successor = CASE WHEN leader.epoch = excluded.epoch THEN leader.successor ELSE '' END "
            "WHERE leader.epoch <= excluded.epoch"), "_claim"),
        (_literally(
            "UPDATE tongbao.leader SET renewed = clock_timestamp(), address = $2 "
            "WHERE epoch = $1 AND NOT released AND pid = pg_backend_pid() RETURNING successor"), "_renew"),
        (_literally("UPDATE tongbao.leader SET released = true WHERE epoch = $1"), "_release"),
        (_literally(
            "SELECT epoch, name, address, lease_ms, released, successor, "
            "(extract(epoch FROM clock_timestamp() - renewed) * 1000)::bigint AS age_ms, "
            "EXISTS (SELECT FROM pg_stat_activity AS session "
            "WHERE session.pid = leader.pid AND backend_start = session_start) AS connected FROM tongbao.leader"),
         "_look"),
        (_literally(
            "INSERT INTO tongbao.standby (name, address, seq, seen) VALUES ($1, $2, $3, clock_timestamp()) "
            "ON CONFLICT (name) DO UPDATE SET address = excluded.address, seq = excluded.seq, seen = excluded.seen"),
         "_register"),
        (_literally("DELETE FROM tongbao.standby WHERE name = $1"), "_leave"),
        (_literally("UPDATE tongbao.leader SET successor = $1 WHERE NOT released"), "_hand_over"),
    )
]  # fmt: skip
