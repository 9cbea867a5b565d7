"""Who leads, as far as others need to know: one row beside the log, renewed by the leader.

The lease decides nothing. What keeps two leaders apart is the log alone (a takeover appends a row of the next epoch,
and no older leader can append any more); whoever believes in a lease that is wrong loses time, and no transfer. It
says when a standby should try: when the leader has not renewed it for as long as the lease is, when it has released
it, or when the leader's session with the database is gone and has not come back within a quarter of that time. All
times are those of the database's clock, so clocks of servers do not matter.

Renewals are not waited for (synchronous_commit is off for them): a lease that is lost in a crash of the database is
claimed again.
"""

from typing import NamedTuple

import asyncpg

from server.journal.link import Link
from server.journal.schema import alone, has_table

TABLES = """
CREATE TABLE tongbao.leader (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL,
    name text NOT NULL,
    address text NOT NULL,
    pid integer NOT NULL,
    session_start timestamptz NOT NULL,
    renewed timestamptz NOT NULL,
    lease_ms integer NOT NULL,
    released boolean NOT NULL,
    successor text NOT NULL
);
COMMENT ON TABLE tongbao.leader IS
    'At most one row: the server that leads, as it says itself. The log decides, not this (server/journal/lease.py).';
COMMENT ON COLUMN tongbao.leader.epoch IS 'Its epoch in the log.';
COMMENT ON COLUMN tongbao.leader.address IS 'Where its clients reach it, host:port.';
COMMENT ON COLUMN tongbao.leader.pid IS 'Process of PostgreSQL that serves the session which renews this row.';
COMMENT ON COLUMN tongbao.leader.renewed IS 'When it last said so.';
COMMENT ON COLUMN tongbao.leader.lease_ms IS 'A standby takes over when the row has not been renewed for so long.';
COMMENT ON COLUMN tongbao.leader.released IS 'It has stopped in order: a standby takes over at once.';
COMMENT ON COLUMN tongbao.leader.successor IS 'Standby that the leader is asked to hand over to; empty: nobody asks.';
CREATE TABLE tongbao.standby (
    name text PRIMARY KEY,
    address text NOT NULL,
    seq bigint NOT NULL,
    seen timestamptz NOT NULL
);
COMMENT ON TABLE tongbao.standby IS
    'Servers that follow the log to take over, as they say themselves; seq: applied up to.';
"""
_CLAIM = """
INSERT INTO tongbao.leader (epoch, name, address, pid, session_start, renewed, lease_ms, released, successor)
SELECT $1, $2, $3, pid, backend_start, clock_timestamp(), $4, false, ''
FROM pg_stat_activity WHERE pid = pg_backend_pid()
ON CONFLICT (one) DO UPDATE SET
    epoch = excluded.epoch, name = excluded.name, address = excluded.address, pid = excluded.pid,
    session_start = excluded.session_start, renewed = excluded.renewed, lease_ms = excluded.lease_ms,
    released = false, successor = CASE WHEN leader.epoch = excluded.epoch THEN leader.successor ELSE '' END
WHERE leader.epoch <= excluded.epoch
"""
_RENEW = """
UPDATE tongbao.leader SET renewed = clock_timestamp(), address = $2
WHERE epoch = $1 AND NOT released AND pid = pg_backend_pid() RETURNING successor
"""
_RELEASE = "UPDATE tongbao.leader SET released = true WHERE epoch = $1"
_LOOK = """
SELECT epoch, name, address, lease_ms, released, successor,
       (extract(epoch FROM clock_timestamp() - renewed) * 1000)::bigint AS age_ms,
       EXISTS (SELECT FROM pg_stat_activity AS session
               WHERE session.pid = leader.pid AND backend_start = session_start) AS connected
FROM tongbao.leader
"""
_REGISTER = """
INSERT INTO tongbao.standby (name, address, seq, seen) VALUES ($1, $2, $3, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET address = excluded.address, seq = excluded.seq, seen = excluded.seen
"""
_STANDBYS = """
SELECT name, address, seq, (extract(epoch FROM clock_timestamp() - seen) * 1000)::bigint AS age_ms
FROM tongbao.standby ORDER BY name
"""
DISCONNECTED_PART = 4
"""A leader whose session is gone has this part of its lease to come back."""


class Lease(NamedTuple):
    """What the row says."""

    epoch: int
    name: str
    address: str
    lease_ms: int
    released: bool
    successor: str
    age_ms: int
    """Since it was renewed."""
    connected: bool
    """Whether the session that renews it is there."""

    def over(self, name: str) -> bool:
        """Whether the standby of that name should try to take over."""
        if self.released:
            # Who is meant to be the successor has one lease's time before anybody else tries.
            return self.successor in {"", name} or self.age_ms > self.lease_ms
        return self.age_ms > (self.lease_ms if self.connected else self.lease_ms // DISCONNECTED_PART)


class Standby(NamedTuple):
    """A server that waits to take over."""

    name: str
    address: str
    seq: int
    age_ms: int
    """Since it was last heard of."""


async def ensure_tables(link: Link) -> None:
    """Make the tables of an older log, which has none yet."""
    if not await has_table(link.connection, "standby"):
        async with alone(link.connection):
            if not await has_table(link.connection, "standby"):
                await link.connection.execute(TABLES)


async def claim(link: Link, epoch: int, name: str, address: str, lease_ms: int) -> bool:
    """Say that we lead, on the session that will renew it; False when a newer leader has said so already."""
    await link.connection.execute("SET synchronous_commit = off")
    return bool(await link.connection.execute(_CLAIM, epoch, name, address, lease_ms) != "INSERT 0 0")


async def renew(link: Link, epoch: int, address: str) -> str | None:
    """Say that we still lead; return whom we are asked to hand over to. None: the row is not this session's."""
    successor: str | None = await link.connection.fetchval(_RENEW, epoch, address)
    return successor


async def release(link: Link, epoch: int) -> None:
    """Say that we have stopped: everything that we acknowledged is in the log, and nothing more will come."""
    await link.connection.execute("SET synchronous_commit = on")
    await link.connection.execute(_RELEASE, epoch)


async def look(link: Link) -> Lease | None:
    """Return what the row says, None when nobody has ever led."""
    try:
        record = await link.connection.fetchrow(_LOOK)
    except asyncpg.UndefinedTableError:
        return None
    return None if record is None else Lease(*record)


async def register(link: Link, name: str, address: str, seq: int) -> None:
    """Say that a standby is here."""
    await link.connection.execute(_REGISTER, name, address, seq)


async def leave(link: Link, name: str) -> None:
    """Say that a standby is one no more."""
    await link.connection.execute("DELETE FROM tongbao.standby WHERE name = $1", name)


async def standbys(link: Link) -> list[Standby]:
    """Return the standbys that have ever been heard of and have not left."""
    return [Standby(*record) for record in await link.connection.fetch(_STANDBYS)]


async def ask_to_hand_over(link: Link, successor: str) -> bool:
    """Ask the leader to hand over to a standby; False when there is no leader to ask."""
    answer = await link.connection.execute("UPDATE tongbao.leader SET successor = $1 WHERE NOT released", successor)
    return bool(answer == "UPDATE 1")
