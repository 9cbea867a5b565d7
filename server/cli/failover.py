"""`tongbao servers` and `tongbao promote`: who leads, who stands by, and a planned switch-over.

Both speak to PostgreSQL, where servers of one log find each other; no server need be reachable from here.
"""

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from server.cli.common import CommandError, Exit, Json, print_json, print_table, run

SEEN_MS = 3_000
"""A standby that was not heard of for so long is not one."""
LOOK_SECONDS = 0.02

Url = Annotated[str, Parameter(env_var="DATABASE_URL", show_default=False)]


@dataclass(slots=True)
class Servers:
    """What the servers of a log say of themselves."""

    log_seq: int
    leader: dict[str, Any] | None
    standbys: list[dict[str, Any]]


async def _look(database_url: str) -> Servers:
    # The command line is quick to start as long as only those that need the database load it.
    import asyncpg  # noqa: PLC0415

    from server.journal import Journal, JournalError, lease  # noqa: PLC0415

    try:
        journal = await Journal.open(database_url, read_only=True, wait=5.0)
    except (JournalError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        raise CommandError(f"--database-url: {error}", Exit.UNREACHABLE) from None
    try:
        link = await journal.connect()
        try:
            held = await lease.look(link)
            there = await lease.standbys(link) if held is not None else []
            return Servers(journal.head.seq, None if held is None else held._asdict(), [one._asdict() for one in there])
        finally:
            await link.close()
    finally:
        await journal.close()


def servers(*, database_url: Url = "", json: Json = False) -> int:
    """Say which server leads the log in a PostgreSQL, and which stand by.

    Exit codes: 0 there is a leader, 1 no database, 2 wrong usage, 3 nobody leads.

    Parameters
    ----------
    database_url
        PostgreSQL that holds the log.
    json
        Print one JSON document.
    """
    found = run(_look(_given(database_url)))
    leads = found.leader is not None and not found.leader["released"] and _alive(found.leader)
    if json:
        print_json(asdict(found))
    else:
        rows = []
        if found.leader is not None:
            one = found.leader
            state = "leads" if leads else "has released it" if one["released"] else "silent"
            rows.append((one["name"], one["address"], state, f"epoch {one['epoch']}", f"{one['age_ms'] / 1e3:.1f} s"))
        for one in found.standbys:
            state = "stands by" if one["age_ms"] < SEEN_MS else "silent"
            behind = f"{max(0, found.log_seq - one['seq']):,} entries behind"
            rows.append((one["name"], one["address"], state, behind, f"{one['age_ms'] / 1e3:.1f} s"))
        print_table("", ("name", "address", "state", "", "heard of"), rows)
    return Exit.OK if leads else Exit.NOT_READY


def promote(
    name: str = "", *, database_url: Url = "", behind_max: int = 1_000, timeout: float = 60.0, json: Json = False
) -> int:
    """Hand the log over to a standby: the leader answers what it has accepted and stops, the standby takes over.

    Clients of `server.client` that know both lose nothing: what the old leader did not answer they send again, with
    the same ids. Use it to upgrade: start the new version with --standby, promote it, and start the old one's
    successor.

    Exit codes: 0 the standby leads, 1 no database, 2 wrong usage, 3 there is no leader or no such standby, or it did
    not happen in time.

    Parameters
    ----------
    name
        Standby to hand over to; by default the one that has applied most of the log.
    database_url
        PostgreSQL that holds the log.
    behind_max
        Entries that the standby may be behind the log; one that is further would keep clients waiting.
    timeout
        Seconds until the standby must lead.
    json
        Print one JSON document.
    """
    done = run(_promote(_given(database_url), name, behind_max, time.monotonic() + timeout))
    if json:
        print_json(done)
    else:
        print(f"{done['leader']} ({done['address']}) leads, epoch {done['epoch']}, {done['seconds']} s after asking")
    return Exit.OK


async def _promote(database_url: str, name: str, behind_max: int, end: float) -> dict[str, Any]:
    from server.journal import Journal, lease  # noqa: PLC0415

    before = await _look(database_url)
    if before.leader is None or before.leader["released"] or not _alive(before.leader):
        raise CommandError("there is no leader: a standby takes over by itself", Exit.NOT_READY)
    alive = {one["name"]: one for one in before.standbys if one["age_ms"] < SEEN_MS}
    if not alive:
        raise CommandError("there is no standby to hand over to (tongbao serve --standby)", Exit.NOT_READY)
    if name and name not in alive:
        raise CommandError(f"{name}: is not a standby that is alive; those are: {', '.join(alive)}", Exit.NOT_READY)
    chosen = alive[name] if name else max(alive.values(), key=lambda one: int(one["seq"]))
    behind = before.log_seq - chosen["seq"]
    if behind > behind_max:
        raise CommandError(f"{chosen['name']}: is {behind} entries behind, more than --behind-max", Exit.NOT_READY)
    journal = await Journal.open(database_url, wait=5.0)
    link = await journal.connect()
    began = time.monotonic()
    try:
        if not await lease.ask_to_hand_over(link, chosen["name"]):
            raise CommandError("there is no leader any more", Exit.NOT_READY)
        while time.monotonic() < end:
            held = await lease.look(link)
            if held is not None and held.epoch > before.leader["epoch"]:
                return {
                    "leader": held.name,
                    "address": held.address,
                    "epoch": held.epoch,
                    "seconds": round(time.monotonic() - began, 3),
                }
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await link.close()
        await journal.close()
    raise CommandError(f"{chosen['name']} does not lead in time: look at its log", Exit.NOT_READY)


def _alive(leader: dict[str, Any]) -> bool:
    return bool(leader["age_ms"] <= max(leader["lease_ms"], 1_000))


def _given(database_url: str) -> str:
    if not database_url:
        raise CommandError("--database-url: is needed; servers with a private PostgreSQL have no standby")
    return database_url
