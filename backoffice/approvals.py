"""Maker and checker: what one person asks for, another decides, and approval does it, once.

A kind of request registers what its approval does and which permission deciding needs. The work of an approval runs in
the transaction that records the decision: both happen or neither. That maker and checker are two persons is a
constraint of the database; that a request is decided once follows from the lock of its row. What a kind has made ready
before the decision it takes back when the answer is no, in that transaction, too.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import insert, select, update

from backoffice import audit
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.problems import Code, Problem
from backoffice.tables import approvals, users

Execute = Callable[[Context, Mapping[str, Any]], Awaitable[Any]]
"""Does what was asked for; what it returns (JSON) is kept. A Problem leaves the request open."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request that needs a second person."""

    name: str
    permission: str
    """To decide."""
    execute: Execute
    refused: Execute | None = None
    """Undoes what stood ready, when it is rejected or withdrawn."""


KINDS: Final[dict[str, Kind]] = {}


def register(kind: Kind) -> None:
    """Make a kind known; once, at import."""
    if kind.name in KINDS:
        raise ValueError(f"approvals: {kind.name} is registered twice")
    KINDS[kind.name] = kind


async def ask(context: Context, kind: str, subject: str, summary: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for an approval; return the request."""
    values = {
        "kind": KINDS[kind].name, "subject": subject, "summary": summary, "payload": dict(payload),
        "maker": context.user_id, "made_at": context.clock(),
    }  # fmt: skip
    row = rows_of(await context.connection.execute(insert(approvals).values(**values).returning(approvals)))[0]
    await audit.record(context, "approvals.ask", subject, {"approval_id": row["approval_id"], "kind": kind})
    return row


async def decide(context: Context, approval_id: int, *, approve: bool, reason: str = "") -> dict[str, Any]:
    """Approve, and do what was asked for; or reject, which needs a reason."""
    row = await _open(context, approval_id)
    kind = KINDS[row["kind"]]
    context.need(kind.permission)
    if row["maker"] == context.user_id:
        raise Problem(Code.SAME_PERSON, "who asks does not decide")
    if not approve and not reason.strip():
        raise Problem(Code.INVALID, "reason: say why it is rejected")
    work = kind.execute if approve else kind.refused
    result = await work(context, row["payload"]) if work is not None else None
    return await _settle(
        context, row, "approved" if approve else "rejected", reason=reason, result=result, checker=context.user_id
    )


async def withdraw(context: Context, approval_id: int) -> dict[str, Any]:
    """Take one's own request back."""
    row = await _open(context, approval_id)
    if row["maker"] != context.user_id:
        raise Problem(Code.NOT_PERMITTED, "only who asked can withdraw")
    refused = KINDS[row["kind"]].refused
    if refused is not None:
        await refused(context, row["payload"])
    return await _settle(context, row, "withdrawn")


async def get(context: Context, approval_id: int) -> dict[str, Any]:
    """One request with the names of both persons; Problem when there is none."""
    found = rows_of(await context.connection.execute(_named().where(approvals.c.approval_id == approval_id)))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no approval {approval_id}")
    return _with_permission(found[0])


def _with_permission(row: dict[str, Any]) -> dict[str, Any]:
    """Add what one must be allowed to decide it; "" for a kind that this build no longer knows."""
    kind = KINDS.get(row["kind"])
    return row | {"permission": kind.permission if kind else ""}


async def listed(context: Context, state: str, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Requests newest first; `state` "" means all."""
    query = _named().order_by(approvals.c.approval_id.desc()).limit(limit)
    if state:
        query = query.where(approvals.c.state == state)
    if before is not None:
        query = query.where(approvals.c.approval_id < before)
    return [_with_permission(row) for row in rows_of(await context.connection.execute(query))]


def _named() -> Any:
    maker, checker = users.alias("maker"), users.alias("checker")
    return (
        select(approvals, maker.c.name.label("maker_name"), checker.c.name.label("checker_name"))
        .join(maker, maker.c.user_id == approvals.c.maker)
        .outerjoin(checker, checker.c.user_id == approvals.c.checker)
    )


async def _open(context: Context, approval_id: int) -> dict[str, Any]:
    """Lock a request; Problem unless it is open."""
    query = select(approvals).where(approvals.c.approval_id == approval_id).with_for_update()
    found = rows_of(await context.connection.execute(query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no approval {approval_id}")
    if found[0]["state"] != "open":
        raise Problem(Code.STATE, f"it is {found[0]['state']}", more={"state": found[0]["state"]})
    return found[0]


async def _settle(
    context: Context,
    row: dict[str, Any],
    state: str,
    *,
    reason: str = "",
    result: Any = None,
    checker: int | None = None,
) -> dict[str, Any]:
    values = {"state": state, "reason": reason, "result": result, "checker": checker, "decided_at": context.clock()}
    at = approvals.c.approval_id == row["approval_id"]
    await context.connection.execute(update(approvals).where(at).values(**values))
    detail = {"approval_id": row["approval_id"], "kind": row["kind"], "reason": reason}
    await audit.record(context, f"approvals.{state}", row["subject"], detail)
    return await get(context, row["approval_id"])
