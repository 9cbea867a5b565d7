"""`tongbao limits`, `kill`, `approve`: pre-trade risk."""

from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter

from server.cli.common import CommandError, Exit, Json, Target, out, print_json, print_table, run
from server.client import KillResult, LimitsResult, LimitsState, Proposal

app = App(name="limits", help="Set limits and show what is used of them.")

Scope = Literal["account", "desk", "client", "instrument", "default", "approval"]
KillScope = Literal["account", "desk", "client", "instrument", "default"]

_SWITCHES = {"true": True, "false": False}
_COLUMNS = ("scope", "id", "instrument", "limit", "value", "own", "headroom")
_PROPOSAL_COLUMNS = ("proposal_id", "state", "scope", "id", "instrument", "limits", "proposed_by", "decided_by")


def _id(scope: str, text: str) -> int | str | None:
    """The id as the protocol has it."""
    if scope == "account":
        if not (text.isascii() and text.isdigit()):
            raise CommandError(f"{text!r} is not the id of a trading account")
        return int(text)
    return text or None


def _value(text: str) -> int | bool | str | None:
    if text in _SWITCHES:
        return _SWITCHES[text]
    if text in {"none", "null"}:
        return None
    return int(text) if text.isascii() and text.isdigit() else text


@app.command(name="set")
def set_(
    scope: Scope,
    id: str = "",  # noqa: A002
    *limits: str,
    target: Target = Target(),  # noqa: B008
    instrument: str | None = None,
    json: Json = False,
) -> int:
    """Set limits: NAME=VALUE for each, VALUE `none` takes a limit away. Names and units: docs/RISK.md.

    What is above the values of `approval` waits for a second person, see `tongbao approve`. For default and approval
    the id is left out: `tongbao limits set default max_quantity=1000`.

    Exit codes: 0 done or proposed, 1 not reachable, 2 wrong usage, 4 refused, 5 refused by the engine.

    Parameters
    ----------
    scope
        Whose limits.
    id
        Trading account, name of the desk or client, or symbol.
    limits
        NAME=VALUE, as often as needed.
    instrument
        In this instrument only: restricted, and of accounts position_long and position_short.
    json
        Print one JSON document.
    """
    if "=" in id and scope in {"default", "approval"}:
        limits, id = (id, *limits), ""  # noqa: A001
    item: dict[str, Any] = {"scope": scope}
    if (number := _id(scope, id)) is not None:
        item["id"] = number
    if instrument is not None:
        item["instrument"] = instrument
    for text in limits:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CommandError(f"{text!r} is not NAME=VALUE")
        item[name] = _value(value)

    async def ask() -> list[LimitsResult]:
        async with target.client() as client:
            return await client.set_limits([item])

    return _told(run(ask()), {"limits_set", "proposed"}, json=json)


@app.command
def show(
    scope: Scope | None = None,
    id: str = "",  # noqa: A002
    *,
    target: Target = Target(),  # noqa: B008
    limit: int = 100,
    json: Json = False,
) -> int:
    """Show limits, one per line, and what is left of each; with --json also what is used.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused.

    Parameters
    ----------
    scope
        Whose limits; without it everybody's.
    id
        Trading account, name of the desk or client, or symbol; without it all of the scope.
    limit
        At most so many accounts, desks, … .
    json
        Print one JSON document.
    """
    number = _id(scope, id) if scope is not None and id else None

    async def ask() -> list[LimitsState]:
        async with target.client() as client:
            return await client.get_limits(scope=scope, id=number, limit=limit)

    found = run(ask())
    if json:
        print_json(msgspec.to_builtins(found))
        return Exit.OK
    rows = [
        (
            state.scope,
            state.id,
            state.instrument,
            name,
            str(value).lower() if isinstance(value, bool) else value,
            "own" if name in state.own else "default",
            state.headroom.get(name),
        )
        for state in found
        for name, value in state.limits.items()
    ]
    print_table("", _COLUMNS, rows, right={"value", "headroom"})
    return Exit.OK


@app.command
def proposals(
    *,
    target: Target = Target(),  # noqa: B008
    after: int = 0,
    limit: int = 100,
    json: Json = False,
) -> int:
    """List raises of limits that wait for a second person, or did.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused.

    Parameters
    ----------
    after
        Only those with a greater number.
    limit
        At most so many.
    json
        Print one JSON document.
    """

    async def ask() -> list[Proposal]:
        async with target.client() as client:
            return await client.get_proposals(after=after, limit=limit)

    rows: list[dict[str, Any]] = msgspec.to_builtins(run(ask()))
    if json:
        print_json(rows)
        return Exit.OK
    for row in rows:
        row["limits"] = " ".join(
            f"{name}={'none' if value is None else value}" for name, value in row["limits"].items()
        )
    print_table("", _PROPOSAL_COLUMNS, [[row[column] for column in _PROPOSAL_COLUMNS] for row in rows])
    return Exit.OK


def kill(
    scope: KillScope,
    id: str = "",  # noqa: A002
    *,
    target: Target = Target(),  # noqa: B008
    off: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Refuse all orders of an account, desk, client, instrument, or of everybody (default), and cancel the open ones.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused, 5 refused by the engine.

    Parameters
    ----------
    scope
        Who is stopped.
    id
        Trading account, name of the desk or client, or symbol.
    off
        Take orders again.
    json
        Print one JSON document.
    """
    number = _id(scope, id)

    async def ask() -> KillResult:
        async with target.client() as client:
            return await client.kill_switch(scope, number, on=not off)

    result = run(ask())
    if json:
        print_json(msgspec.to_builtins(result))
    else:
        out().print(
            f"{result.status} {result.reason}".strip() + ("" if off else f", {result.canceled:,} orders canceled")
        )
    return Exit.OK if result.status == "done" else Exit.ITEM_REFUSED


def approve(
    proposal_ids: list[int],
    *,
    target: Target = Target(),  # noqa: B008
    decline: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Approve raises of limits that another channel has proposed.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused, 5 refused by the engine.

    Parameters
    ----------
    proposal_ids
        As `tongbao limits proposals` shows them.
    decline
        Decline instead.
    json
        Print one JSON document.
    """

    async def ask() -> list[LimitsResult]:
        async with target.client() as client:
            return await client.approve_limits(dict.fromkeys(proposal_ids, not decline))

    return _told(run(ask()), {"approved", "declined"}, json=json)


def _told(results: list[LimitsResult], good: set[str], *, json: bool) -> int:
    if json:
        print_json(msgspec.to_builtins(results))
    else:
        for result in results:
            out().print(f"{result.status} {result.proposal_id}" if result.proposal_id else result.status)
    return Exit.OK if all(result.status in good for result in results) else Exit.ITEM_REFUSED
