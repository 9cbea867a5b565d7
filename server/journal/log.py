"""The log: compare-and-append in PostgreSQL, by one leader at a time.

How an append is safe. The row's number is one more than that of the newest row we know, and the statement inserts it
only if the row before it is there with our epoch and our hash:

    INSERT INTO … SELECT $1 … WHERE EXISTS (SELECT FROM … WHERE seq = $1 - 1 AND epoch = … AND hash = …)

One row inserted and no warning: it is durable. Anything else is settled by asking again, never by guessing:

- The session is lost, or an error comes back: the outcome is unknown (the server may still be at it, so reading would
  not do: a row that is absent may yet appear). The *same* statement is sent on a new session, for as long as it takes.
- Unique violation: somebody's row has this number. Ours by its hash: it was committed; one more synchronous commit
  makes sure that it is so on the standbys too. Not ours: another leader has written, and we are `Fenced`.
- No row inserted: the row before is not as we left it. `Fenced` if another leader's rows explain that, else `LogLost`.

Everything is one autocommit statement: a leader that is paused in the middle holds no lock that a successor would wait
for. A successor takes over by appending a row of the next epoch; from then on the older leader's statement cannot
succeed, whenever it arrives.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import time as clock
import weakref
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from server.journal import archive, hosts, reader, schema
from server.journal.errors import Fenced, JournalClosed, JournalError, LogDamaged, LogLost, PostgresUnavailable
from server.journal.link import BACKOFF_MAX, BACKOFF_MIN, GONE, Link, connect, curable, finish, temporary
from server.journal.rows import Head, Kind, Row, row_hash
from server.journal.schema import LogFacts
from server.journal.stream import Values
from server.journal.tail import POLL_MAX, Tail

log = structlog.get_logger("tongbao.journal")

TAKEOVER_ATTEMPTS = 10_000
"""How often a takeover may lose the race for the next number against a busy older leader, at about 1 ms each."""
LOOK_STALLED_SECONDS, LOOK_SECONDS = 1.0, 5.0
"""How often it is asked whether another host has become the primary: while an append waits, and otherwise."""

_INSERT = """
INSERT INTO {target} (seq, epoch, time, format, kind, previous_hash, hash, checksum, digest, payload)
SELECT $1::bigint, $2::bigint, $3::bigint, $4::smallint, 1, $5::bytea, $6::bytea, $7::bytea, $8::bytea, $9::bytea
WHERE EXISTS (SELECT FROM {source} WHERE seq = $1 - 1 AND epoch = $2 AND hash = $5)
"""
_TAKE_OVER = """
INSERT INTO {target} (seq, epoch, time, format, kind, previous_hash, hash, checksum, digest, payload)
SELECT seq + 1, epoch + 1, greatest($1::bigint, time), $2::smallint, 2, hash,
       sha256(hash || int8send(seq + 1) || int8send(epoch + 1) || int8send(greatest($1::bigint, time))
              || int2send($2::smallint) || int2send(2::smallint) || $3::bytea),
       $3::bytea, NULL, $4::bytea
FROM (SELECT seq, epoch, time, hash FROM {source} ORDER BY seq DESC LIMIT 1) AS head
WHERE epoch = $5::bigint
RETURNING seq, epoch, time, previous_hash, hash
"""
# Where there are standbys, a synchronous commit proves that this server is still the one whose commits count.
_BARRIER = """
SELECT seq, epoch, (SELECT hash FROM {source} WHERE seq = $1) AS hash,
       CASE WHEN current_setting('synchronous_standby_names') <> ''
            THEN pg_logical_emit_message(true, 'tongbao', '') END
FROM {newest} ORDER BY seq DESC LIMIT 1
"""
# 16 MiB that belong to no transaction: far more than is on its way to standbys when a primary is lost.
_OUTRUN = "SELECT pg_logical_emit_message(false, 'tongbao', repeat('x', 1 << 20)) FROM generate_series(1, 16)"
_CONFIRM = "SELECT pg_logical_emit_message(true, 'tongbao', '')"


class Journal:
    """The log, as its leader and its readers use it. One event loop, one append at a time."""

    def __init__(self, dsn: str, facts: LogFacts, head: Head, appender: Link, **options: Any) -> None:
        """Use `open`."""
        self.head = head
        """The newest row known to be committed. Of what an older leader still writes it learns in `take_over`."""
        self.trouble: str | None = None
        """Why the database is not answering appends just now; None when all is well."""
        self._dsn = dsn
        self._facts = facts
        self._format: int = options["format"]
        self._format_of: Callable[[bytes], int] = options["format_of"] or (lambda _: self._format)
        self._allow_unsafe: bool = options["allow_unsafe"]
        self._read_only: bool = options["read_only"]
        self._epoch = 0  # ours, once we have taken over
        self._appender: Link | None = appender
        self._statement: asyncpg.prepared_stmt.PreparedStatement | None = None
        self._statements = 0  # prepared so far, to name them
        self._statement_first = 0  # the statement serves first <= seq < end
        self._statement_end = 0
        self._busy = False
        self._settling: asyncio.Task[None] | None = None  # the append whose outcome must be found out
        self._broken: JournalError | None = None
        self._barrier_link: Link | None = None
        self._barrier_statement: asyncpg.prepared_stmt.PreparedStatement | None = None
        self._barrier_partition = -1
        self._barrier_lock = asyncio.Lock()
        self._extend_at = 0  # when the head passes this, the next partition is made
        self._extending: asyncio.Task[None] | None = None
        self._extend_link: Link | None = None
        self._hosts = hosts.hosts_of(dsn)
        self._links: weakref.WeakSet[Link] = weakref.WeakSet([appender])
        self._busy_since = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._outrun_lock = asyncio.Lock()
        self._outrun_timeline = 0
        if len(self._hosts) > 1:
            self._looking = asyncio.create_task(self._look_for_newer_primary())

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        format: int = 1,
        format_of: Callable[[bytes], int] | None = None,
        wait: float | None = None,
        partition_rows: int = schema.PARTITION_ROWS,
        allow_unsafe: bool = False,
        read_only: bool = False,
    ) -> "Journal":
        """Connect, make the tables if there are none, and read the newest row.

        - `format`: newest version of the payloads this process appends.
        - `format_of`: tells the version of one payload, which its row then carries: an older process goes on reading
          until a row needs more than it knows. None: always `format`.
        - `wait`: seconds to wait for a database that is not there yet; None: for ever.
        - `partition_rows`: of a log that is made now.
        - `allow_unsafe`: accept a server that may lose what it confirmed (tests only).
        - `read_only`: for followers, which never write: on a standby of PostgreSQL, too. A log that is not there yet is
          waited for, as a database is.

        Raises UnsafeDatabase, LogDamaged, PostgresUnavailable after `wait`, or PostgreSQL's own error when waiting
        would not help (a wrong password).
        """
        began = clock.monotonic()
        pause = BACKOFF_MIN
        while True:
            try:
                link = await connect(dsn, allow_unsafe=allow_unsafe, read_only=read_only)
                try:
                    if read_only:
                        facts = await schema.read_facts(link.connection)
                        if facts is None:
                            raise asyncpg.CannotConnectNowError("there is no log in it yet")
                    else:
                        facts = await schema.ensure_schema(link.connection, partition_rows, clock.time_ns())
                    head = await schema.read_head(link.connection)
                except BaseException:
                    link.drop()
                    raise
                return cls(
                    dsn,
                    facts,
                    head,
                    link,
                    format=format,
                    format_of=format_of,
                    allow_unsafe=allow_unsafe,
                    read_only=read_only,
                )
            except (*GONE, asyncpg.PostgresError) as error:
                if not temporary(error):
                    raise
                if wait is not None and clock.monotonic() - began > wait:
                    raise PostgresUnavailable(f"the database is not there: {_words(error)}") from error
                log.warning("database_unavailable", error=_words(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, BACKOFF_MAX)

    @property
    def log_id(self) -> bytes:
        """16 bytes that name this log."""
        return self._facts.log_id

    @property
    def partition_rows(self) -> int:
        """Rows of one partition."""
        return self._facts.partition_rows

    @property
    def epoch(self) -> int:
        """Our epoch; 0 before `take_over`."""
        return self._epoch

    # --- appending

    def append(self, time: int, payload: bytes, digest: bytes | None = None) -> asyncio.Future[int]:
        """Send a batch at once; the future gives its seq once it is durable, however long that takes.

        `time` is the batch's (ns since 1970 UTC), `digest` the engine's digest of the state before the batch, now and
        then. Raises, at once or later, Fenced or LogLost: answer nothing more. If the future is cancelled the outcome
        stays unknown, and the journal can only be closed.
        """
        if self._busy or self._broken or not self._epoch:
            self._refuse()
        seq, previous, epoch, _ = self.head
        seq += 1
        checksum = sha256(payload).digest()
        format = self._format_of(payload)
        hash = row_hash(previous, seq, epoch, time, format, Kind.BATCH, checksum, digest)
        values = (seq, epoch, time, format, previous, hash, checksum, digest, payload)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._busy, self._busy_since = True, clock.monotonic()

        def done(error: BaseException | None) -> None:
            if error is None:
                self._appended(future, values)
            else:
                self._settling = asyncio.create_task(self._settled(future, values, error))

        link, statement = self._appender, self._statement
        ready = link is not None and not link.lost and not link.doubt
        if ready and statement is not None and self._statement_first <= seq < self._statement_end:
            link.stream(statement).append(values, done)  # type: ignore[union-attr]
        else:
            self._settling = asyncio.create_task(self._settled(future, values, None))
        future.add_done_callback(self._look_at_end)
        return future

    def _appended(self, future: asyncio.Future[int], values: Values) -> None:
        """Go on behind a row that is durable."""
        self._busy = False
        seq, epoch, time, _, _, hash, *_ = values
        self.head = Head(seq, hash, epoch, time)
        if seq >= self._extend_at:
            self._extend()
        if not future.done():
            future.set_result(seq)

    async def _settled(self, future: asyncio.Future[int], values: Values, failure: BaseException | None) -> None:
        """Settle an append that had no good answer, or could not be sent yet."""
        try:
            await self._settle(values, failure)
        except asyncio.CancelledError:
            if self._broken is not None and not future.done():
                future.set_exception(self._broken)
            raise
        except Exception as error:  # noqa: BLE001 - whoever waits for the append is told
            self._busy = False
            if not future.done():
                future.set_exception(error)
        else:
            self._appended(future, values)

    def _look_at_end(self, future: asyncio.Future[int]) -> None:
        if future.cancelled():
            self._break(JournalClosed("an append was cancelled: whether it was committed is not known"))
            if self._settling is not None:
                self._settling.cancel()

    async def take_over(self, *, after: int | None = None, known: tuple[int, bytes] | None = None) -> bool:
        """Append a row of the next epoch: from its commit on, no older leader can append.

        Afterwards `head` is that row, and the log below it is complete: read it to the end before anything is answered.
        `after`: only if the log's newest epoch is that one; False when somebody else has been faster.
        `known`: seq and hash of a row that the caller's state holds. A failover of the database that lost commits ends
        every session, so on the session that takes over the row is there or it is gone for good: then LogLost.
        """
        if self._read_only:
            raise JournalError("a journal that was opened to read cannot take over")
        if self._busy or self._broken:
            self._refuse()
        token = f"{secrets.token_hex(16)} {socket.gethostname()} {os.getpid()}".encode()
        checksum = sha256(token).digest()
        self._busy, self._busy_since = True, clock.monotonic()
        pause = BACKOFF_MIN
        attempts = 0
        try:
            while True:
                try:
                    link = await self._have_appender()
                    await self._outrun(link)
                    head = await schema.read_head(link.connection)
                    table = self._facts.table(head.seq)
                    mine = await link.connection.fetchval(
                        f"SELECT payload = $2 FROM {table} WHERE seq = $1", head.seq, token
                    )
                    if known is not None:
                        await self._still_there(link, head, *known)
                    if mine:  # an attempt whose outcome was unknown
                        await link.connection.execute(_CONFIRM)
                    elif after is not None and head.epoch != after:
                        return False
                    else:
                        await schema.make_partition(link.connection, self._facts, self._facts.partition(head.seq + 1))
                        record = await link.connection.fetchrow(
                            _TAKE_OVER.format(target=self._facts.table(head.seq + 1), source=table),
                            clock.time_ns(), self._format, checksum, token, head.epoch,
                        )  # fmt: skip
                        if record is None:
                            continue  # the head's epoch has changed meanwhile: look again
                        head = Head(record["seq"], record["hash"], record["epoch"], record["time"])
                    if link.doubt:
                        link.drop()
                        continue
                    break
                except (asyncpg.UniqueViolationError, asyncpg.CheckViolationError) as error:
                    # The older leader was faster with this number, or has gone on into the next partition.
                    attempts += 1
                    if attempts == TAKEOVER_ATTEMPTS:
                        raise PostgresUnavailable(f"the older leader was faster {attempts} times") from error
                except (*GONE, asyncpg.PostgresError) as error:
                    if self._appender is not None:
                        self._appender.drop()
                    pause = await self._pause(error, pause)
        except asyncio.CancelledError:
            self._break(JournalClosed("a takeover was cancelled"))
            raise
        finally:
            self._busy = False
        self._recovered()
        self.head = head
        self._epoch = head.epoch
        log.info("journal_taken_over", seq=head.seq, epoch=head.epoch)
        self._extend()
        return True

    async def _still_there(self, link: Link, head: Head, seq: int, hash: bytes) -> None:
        """Raise LogLost unless a row that was committed is in the log, of which `head` is the newest row."""
        found = None
        if seq <= head.seq:
            with contextlib.suppress(asyncpg.UndefinedTableError):
                found = await link.connection.fetchval(f"SELECT hash FROM {self._facts.table(seq)} WHERE seq = $1", seq)
        if found == hash:
            return
        what = f"row {seq} was {'acknowledged' if self._epoch else 'applied'}"
        if found is not None:
            raise LogLost(f"{what}, but another row stands in its place")
        if self._read_only and await link.connection.fetchval("SELECT pg_is_in_recovery()"):
            raise asyncpg.CannotConnectNowError(f"the standby has not replayed row {seq} yet")
        raise LogLost(f"{what}, but " + (f"the log ends at row {head.seq}" if seq > head.seq else "it is gone"))

    async def prove(self, log_id: bytes, seq: int, hash: bytes) -> None:
        """Raise LogLost unless this log holds a row that is known to have been committed."""
        if log_id != self.log_id:
            raise LogLost(f"row {seq} was applied, but of another log than the one that the database holds")
        link = await connect(self._dsn, allow_unsafe=self._allow_unsafe, read_only=self._read_only)
        try:
            await self._still_there(link, await schema.read_head(link.connection), seq, hash)
        finally:
            await link.close()

    async def connect(self) -> Link:
        """Return a session with this log's database, for whoever keeps something beside it; it belongs to the caller.

        Raises one of GONE, a PostgresError, LogLost when this is another log.
        """
        return await self._connect()

    async def barrier(self) -> None:
        """Return if our row is still the newest but for rows of our own, else raise Fenced or LogLost.

        What was read from memory before the call was then the truth at some moment during it. May be called while an
        append is under way.
        """
        async with self._barrier_lock:
            pause = BACKOFF_MIN
            while True:
                if self._broken or not self._epoch:
                    self._refuse(idle=True)
                try:
                    head = self.head
                    link = await self._have_barrier_link()
                    record = await self._ask_barrier(link, head)
                    if link.doubt:
                        link.drop()
                        continue
                    if record is None or record["hash"] != head.hash or record["epoch"] != self._epoch:
                        raise await self._explain(link, head)
                except JournalError as error:
                    self._break(error)
                    raise
                except (*GONE, asyncpg.PostgresError) as error:
                    if self._barrier_link is not None:
                        self._barrier_link.drop()
                    pause = await self._pause(error, pause)
                else:
                    if pause != BACKOFF_MIN:
                        self._recovered()
                    return

    # --- reading

    def read(
        self, first: int, *, last: int | None = None, previous_hash: bytes | None = None, epoch: int | None = None
    ) -> AsyncIterator[Row]:
        """Return the rows from `first` to `last` (None: to `head`), in order, each verified.

        `previous_hash` and `epoch` are those of row `first - 1`, known from a snapshot; without them they are read.
        Raises LogDamaged, which names the seq. Goes on by itself after a lost session.
        """
        return reader.read_rows(
            lambda: connect(self._dsn, allow_unsafe=self._allow_unsafe, read_only=self._read_only),
            self._facts,
            first,
            self.head.seq if last is None else last,
            previous_hash,
            epoch,
        )

    def tail(self, known: Head, *, poll_max: float = POLL_MAX) -> Tail:
        """Return what gives the rows behind `known` as they are committed; it has a session of its own.

        `poll_max`: seconds between two looks while nothing happens, at most.
        """
        return Tail(self._connect, self._facts, known, poll_max=poll_max)

    async def first(self) -> int:
        """Return the lowest seq that the database still has (0 if nothing was dropped)."""
        link = await connect(self._dsn, allow_unsafe=self._allow_unsafe, read_only=self._read_only)
        try:
            partitions = await schema.list_partitions(link.connection)
            return partitions[0] * self._facts.partition_rows if partitions else 0
        finally:
            await link.close()

    async def drop_before(self, seq: int) -> int:
        """Drop every partition that lies below row `seq` in full; return how many. Row `seq` itself stays."""
        return await self._release(seq, None)

    async def archive_before(self, seq: int, directory: Path) -> int:
        """Write every partition that lies below row `seq` in full to `directory`, verify the files, then drop it.

        Returns how many. Goes on where an interrupted run ended. See server/journal/archive.py for the files.
        """
        return await self._release(seq, directory)

    async def _release(self, seq: int, directory: Path | None) -> int:
        if seq > self.head.seq:
            raise ValueError(f"row {seq} is not in the log yet (the newest is {self.head.seq})")
        link = await connect(self._dsn, allow_unsafe=self._allow_unsafe, read_only=self._read_only)
        try:
            return await archive.release(link.connection, self._facts, seq, directory)
        finally:
            await link.close()

    async def newest(self) -> Head:
        """Return the newest row that the database has now: what a follower reads up to.

        A database that is away is waited for. Raises LogDamaged, or LogLost when another log answers.
        """
        pause = BACKOFF_MIN
        while True:
            try:
                link = await self._connect()
                try:
                    return await schema.read_head(link.connection)
                finally:
                    await link.close()
            except (*GONE, asyncpg.PostgresError) as error:
                if not temporary(error):
                    raise
                log.warning("database_unavailable", error=_words(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, BACKOFF_MAX)

    async def close(self) -> None:
        """End the sessions, within two seconds whatever the database does."""
        if self._broken is None:
            self._broken = JournalClosed("the journal is closed")
        if self._settling is not None:
            self._settling.cancel()
        if self._looking is not None:
            self._looking.cancel()
        endings = [link.close() for link in (self._appender, self._barrier_link) if link is not None]
        if self._extending and not self._extending.done():
            endings.append(finish(self._extending, self._extend_link))
        await asyncio.gather(*endings)
        self._appender = self._barrier_link = self._statement = self._barrier_statement = None

    # --- how an append is settled

    async def _settle(self, values: Values, failure: BaseException | None) -> None:
        """Return when the row is durable: append it if nobody knows yet whether it is there."""
        seq, hash = values[0], values[5]
        pause = BACKOFF_MIN
        while True:
            if self._broken is not None:
                raise self._broken
            try:
                if isinstance(failure, asyncpg.UniqueViolationError):
                    link = await self._have_appender()
                    found = await link.connection.fetchval(
                        f"SELECT hash FROM {self._facts.table(seq)} WHERE seq = $1", seq
                    )
                    if found != hash:
                        raise Fenced(f"another leader has written row {seq}")
                    await link.connection.execute(_CONFIRM)
                    if not link.doubt:
                        break
                    link.drop()
                    continue
                if failure is not None:
                    if self._appender is not None:
                        self._appender.drop()
                    pause = await self._pause(failure, pause)
                    failure = None
                statement = await self._have_statement(seq)
                await statement.fetch(*values)
                link = await self._have_appender()
                if link.doubt:
                    link.drop()  # committed here, but not known to be so on the standbys: ask again
                elif statement.get_statusmsg() == "INSERT 0 1":
                    break
                else:
                    raise await self._explain(link, self.head)
            except JournalError as error:
                self._break(error)
                raise
            except (*GONE, asyncpg.PostgresError) as error:
                failure = error
        self._recovered()

    async def _have_appender(self) -> Link:
        if self._appender is None or self._appender.lost:
            self._statement = None
            self._appender = await self._connect()
        return self._appender

    async def _have_statement(self, seq: int) -> asyncpg.prepared_stmt.PreparedStatement:
        """Return the prepared append for `seq`: a new one in a new session, and at the ends of each partition."""
        link = await self._have_appender()
        if self._statement is None or not self._statement_first <= seq < self._statement_end:
            facts = self._facts
            first = facts.partition(seq) * facts.partition_rows
            await schema.make_partition(link.connection, facts, facts.partition(seq))
            self._statement = await link.connection.prepare(
                _INSERT.format(target=facts.table(seq), source=facts.table(seq - 1)), name=self._statement_name()
            )
            # A partition's first row looks for its predecessor in the partition before.
            self._statement_first = seq if seq == first else first + 1
            self._statement_end = seq + 1 if seq == first else first + facts.partition_rows
            # asyncpg leaves the implicit transaction of a prepare open, and with it the lock on the table.
            await link.connection.execute("SELECT")
        return self._statement

    def _statement_name(self) -> str:
        """Return a name of its own: without one, and without a cache, PostgreSQL plans anew each time."""
        self._statements += 1
        return f"tongbao_{self._statements}"

    async def _have_barrier_link(self) -> Link:
        if self._barrier_link is None or self._barrier_link.lost:
            self._barrier_partition = -1
            self._barrier_link = await self._connect()
        return self._barrier_link

    async def _ask_barrier(self, link: Link, head: Head) -> Any:
        """Return seq and epoch of the newest row, and the hash of the row at head.seq."""
        partition = self._facts.partition(head.seq)
        if self._barrier_partition != partition or self._barrier_statement is None:
            query = _BARRIER.format(source=self._facts.table(head.seq), newest=self._facts.table(head.seq))
            self._barrier_statement = await link.connection.prepare(query, name=self._statement_name())
            self._barrier_partition = partition
        record = await self._barrier_statement.fetchrow(head.seq)
        # What is newer than the last row of a partition is in the next one.
        while record is not None and self._facts.partition(record["seq"] + 1) != partition:
            partition += 1
            await schema.make_partition(link.connection, self._facts, partition)
            query = _BARRIER.format(source=self._facts.table(head.seq), newest=schema.table_name(partition))
            newer = await link.connection.fetchrow(query, head.seq)
            if newer is None:
                break
            record = newer
        return record

    async def _connect(self) -> Link:
        """Connect to the log we know. Raises what `connect` raises, LogLost if this is another log."""
        link = await connect(self._dsn, allow_unsafe=self._allow_unsafe, read_only=self._read_only)
        try:
            facts = await schema.read_facts(link.connection)
            if facts != self._facts:
                raise LogLost("the database that answers now does not hold this log")
            if self._epoch:
                await self._outrun(link)
                # A leader with nothing to do learns of a loss here, before it answers anybody.
                known = self.head
                await self._still_there(link, await schema.read_head(link.connection), known.seq, known.hash)
        except BaseException:
            link.drop()
            raise
        self._links.add(link)
        return link

    async def _outrun(self, link: Link) -> None:
        """Before the first confirmation on a new timeline: write past the end of any standby that has gone astray.

        A standby that had received more than the new primary, or the old primary itself, is ahead of it on a branch
        that is over. While it is, PostgreSQL takes its position for a confirmation of commits that it has never seen.
        Once the log has passed it, what is astray can confirm nothing any more.
        """
        async with self._outrun_lock:
            if link.timeline > self._outrun_timeline:
                await link.connection.execute(_OUTRUN)
                self._outrun_timeline = link.timeline

    async def _look_for_newer_primary(self) -> None:
        """End sessions with a primary that has been replaced and does not know it: nobody may ever answer there.

        Where commits wait for a standby, a replaced primary waits for ever; what was sent to it is then asked again of
        the new one.
        """
        looked = clock.monotonic()
        while True:
            await asyncio.sleep(LOOK_STALLED_SECONDS)
            stalled = self._busy and clock.monotonic() - self._busy_since > LOOK_STALLED_SECONDS
            oldest = min((link.timeline for link in self._links if link.timeline and not link.lost), default=0)
            if not oldest or not (stalled or clock.monotonic() - looked > LOOK_SECONDS):
                continue
            newest = await hosts.newest_timeline(self._dsn, self._hosts)
            looked = clock.monotonic()
            for link in list(self._links):
                if link.timeline and link.timeline < newest and not link.lost:
                    log.warning("primary_replaced", was=f"timeline {link.timeline}, now {newest}")
                    link.drop()

    async def _explain(self, link: Link, known: Head) -> JournalError:
        """Say why the row that we know as the newest does not serve as one any more."""
        table = self._facts.table(known.seq)
        try:
            newest = await schema.read_head(link.connection)
            found = await link.connection.fetchval(f"SELECT hash FROM {table} WHERE seq = $1", known.seq)
        except asyncpg.UndefinedTableError:
            found = None
        except LogDamaged as error:
            return error
        if newest.seq < known.seq:
            return LogLost(f"row {known.seq} was acknowledged, but the log ends at row {newest.seq}")
        if found is not None and found != known.hash:
            return LogLost(f"row {known.seq} was acknowledged, but another row stands in its place")
        if newest.epoch > known.epoch:
            return Fenced(f"another leader took over (epoch {newest.epoch}; ours is {known.epoch})")
        return LogLost(f"row {known.seq} was acknowledged, but it is not there any more")

    async def _pause(self, error: BaseException, pause: float) -> float:
        """Note a trouble and wait a moment; return how long to wait next time."""
        if not curable(error):
            raise JournalError(f"the database refuses what we ask: {_words(error)}") from error
        words = _words(error)
        if words != self.trouble:
            self.trouble = words
            # A log that cannot be written must not pass for a database that is away, to be tried again at once.
            with contextlib.suppress(OSError):
                log.warning("database_trouble", error=words)
        await asyncio.sleep(pause)
        return min(2 * pause, BACKOFF_MAX)

    def _recovered(self) -> None:
        if self.trouble is not None:
            with contextlib.suppress(OSError):
                log.info("database_back", was=self.trouble)
            self.trouble = None

    def _break(self, error: JournalError) -> None:
        """Never append or answer again."""
        if self._broken is None:
            self._broken = error
        if self._appender is not None:
            self._appender.drop()

    def _refuse(self, *, idle: bool = False) -> None:
        if self._broken:
            raise self._broken
        if self._busy and not idle:
            raise RuntimeError("an append is under way already")
        raise JournalError("take_over first")

    # --- partitions ahead of time

    def _extend(self) -> None:
        """Make the partition after the one that the head is in, beside the appends."""
        if self._extending is None or self._extending.done():
            partition = self._facts.partition(self.head.seq)
            self._extend_at = (partition + 1) * self._facts.partition_rows
            self._extending = asyncio.create_task(self._make_next(partition + 1))
            self._extending.add_done_callback(self._extended)

    def _extended(self, task: "asyncio.Task[None]") -> None:
        """Go on if the appends were faster: the next partition was asked for while this one was being made."""
        if not task.cancelled() and self._broken is None and self.head.seq >= self._extend_at:
            self._extend()

    async def _make_next(self, partition: int) -> None:
        try:
            self._extend_link = await connect(self._dsn, allow_unsafe=self._allow_unsafe, read_only=self._read_only)
            try:
                await schema.make_partition(self._extend_link.connection, self._facts, partition)
            finally:
                await self._extend_link.close()
        except (*GONE, asyncpg.PostgresError, JournalError) as error:
            # The append that needs it makes it itself, in its own time.
            log.warning("partition_not_made", partition=partition, error=_words(error))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
