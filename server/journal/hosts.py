"""The machines of one database: which of them takes our commits just now.

A connection string may name several (`postgresql://a,b,c/tongbao`): a primary and its standbys, in any order. Whoever
writes asks all of them at once, so that one that is cut off, and swallows everything, costs no time. Who answers that
it is no standby is the primary; of two that say so, the one of the newer timeline is, since each promotion begins one:
the other was replaced and does not know it yet. Whoever only reads takes the first that answers, in the order given.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

GRACE_SECONDS = 0.25
"""How long the others have to answer once one has said that it is the primary."""
READER_SECONDS = 2.0
"""How long a reader waits for one host before it asks the next."""
LOOK_SECONDS = 3.0
FAILED = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # it is not what was asked for
)
"""How one host may fail; the others are still to be asked."""
_STATE = """
SELECT pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer END
"""


class Host(NamedTuple):
    """Where one of them listens: a name or an address, or the directory of a socket."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


class Found(NamedTuple):
    """A session with a primary."""

    timeline: int
    connection: asyncpg.Connection


def hosts_of(dsn: str) -> tuple[Host, ...]:
    """Return the hosts of a connection string, in order."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    port = os.environ.get("PGPORT", "5432")
    places = parts.netloc.rpartition("@")[2]
    if places:
        pairs = []
        for place in places.split(","):
            name, _, number = place.rpartition(":") if place.rpartition(":")[2].isdigit() else (place, "", "")
            pairs.append((unquote(name.strip("[]")), number or port))
    else:
        names = query.get("host", [os.environ.get("PGHOST", "")])[0].split(",")
        numbers = query.get("port", [port])[0].split(",")
        if len(numbers) == 1:
            numbers *= len(names)
        pairs = list(zip(names, numbers, strict=False))
    return tuple(Host(name, int(number)) for name, number in pairs if name)


async def connect_primary(dsn: str, hosts: Sequence[Host], **options: Any) -> Found:
    """Return a session with the primary among them. Raises what `asyncpg.connect` does, when none is there."""
    tasks = {asyncio.create_task(_primary(dsn, host, options)): host for host in hosts}
    found: list[Found] = []
    errors: list[tuple[Host, BaseException]] = []
    waiting = set(tasks)
    try:
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=GRACE_SECONDS if found else None, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                error = task.exception()
                if error is None:
                    found.append(task.result())
                else:
                    errors.append((tasks[task], error))
    finally:
        for task in waiting:
            task.cancel()
            task.add_done_callback(_end)
        best = max(found, key=lambda one: one.timeline, default=None)
        for one in found:
            if one is not best:
                one.connection.terminate()
    if best is not None:
        return best
    raise _said(errors)


async def connect_reader(dsn: str, hosts: Sequence[Host], **options: Any) -> asyncpg.Connection:
    """Return a session with the first that answers and is what the connection string asks for."""
    wanted = [options.pop("target_session_attrs", None) or "any"]
    if wanted == ["prefer-standby"]:
        wanted = ["standby", "any"]
    options |= {"timeout": READER_SECONDS}
    errors: list[tuple[Host, BaseException]] = []
    for attributes in wanted:
        for host in hosts:
            try:
                return await asyncpg.connect(
                    dsn, host=host.name, port=host.port, target_session_attrs=attributes, **options
                )
            except FAILED as error:
                errors.append((host, error))
    raise _said(errors)


async def newest_timeline(dsn: str, hosts: Sequence[Host], **options: Any) -> int:
    """Return the timeline of the newest primary among those that answer soon; 0 if there is none."""
    options |= {"timeout": LOOK_SECONDS}

    async def look(host: Host) -> int:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                found = await _primary(dsn, host, options)
        except FAILED:
            return 0
        found.connection.terminate()
        return found.timeline

    return max(await asyncio.gather(*[look(host) for host in hosts]))


async def _primary(dsn: str, host: Host, options: dict[str, Any]) -> Found:
    connection = await asyncpg.connect(
        dsn, host=host.name, port=host.port, **(options | {"target_session_attrs": "any"})
    )
    try:
        standby, timeline = await connection.fetchrow(_STATE)
        if standby:
            raise asyncpg.CannotConnectNowError("is a standby")
    except BaseException:
        connection.terminate()
        raise
    return Found(timeline, connection)


def _end(task: "asyncio.Task[Found]") -> None:
    """End a session that came too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().connection.terminate()


def _said(errors: list[tuple[Host, BaseException]]) -> BaseException:
    """Return one error for all: such as may go away by itself, unless none of them will."""
    words = "; ".join(f"{host}: {str(error) or type(error).__name__}" for host, error in errors)
    lasting = [
        error
        for _, error in errors
        if isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] not in {"08", "53", "57"}
    ]
    if len(lasting) == len(errors) and lasting:
        worst: BaseException = lasting[0]
        return worst
    return cast("BaseException", asyncpg.CannotConnectNowError(f"no host serves: {words}"))
