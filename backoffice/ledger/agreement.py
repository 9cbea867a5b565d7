"""The books (engine) and the back office agree: whatever differs is found and named. Empty is the only good answer.

Three things are compared: each settled posting with the engine's transfer, for each account the sums of all settled
postings with the engine's balances, and what the areas say about their own objects (`check`). Both sides move while
they are read, so what seems to differ is looked at again while nothing can be settled (a SHARE lock on
`posting_groups`, for as long as those accounts take). What was sent and has no outcome yet is counted if the engine
has it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.ledger.gateway import Gateway
from backoffice.ledger.plan import ALL_PENDING
from backoffice.ledger.tables import NUMBER, ledger_accounts, posting_groups, postings
from server.client import TransferFlag, TransferView

PAGE: Final = 1000
UNKNOWN_MAX: Final = 10
"""Transfers of an account that are named when its sums differ."""
SIDES: Final = ("debits_posted", "credits_posted", "debits_pending", "credits_pending")
_SAME = ("debit_account_id", "credit_account_id", "ledger", "code")
_RESOLVING = TransferFlag.POST_PENDING_TRANSFER | TransferFlag.VOID_PENDING_TRANSFER
_BALANCING = TransferFlag.BALANCING_DEBIT | TransferFlag.BALANCING_CREDIT


@dataclass(frozen=True, slots=True)
class Difference:
    """What does not agree. `kind`: posting, account, balance, or an area's own; `subject`: kind:id."""

    kind: str
    subject: str
    words: str


Sums = dict[int, list[int]]
"""Of accounts: the four sums in the order of SIDES."""
Check = Callable[[Context], Awaitable[list[Difference]]]
Others = Callable[[Context, Sequence[int]], Awaitable[Mapping[int, tuple[int, int]]]]
"""Gives (debits, credits) posted on accounts by transfers that are not in `postings`; of all if none are named."""
Progress = Callable[[str, int], None]
CHECKS: Final[dict[str, Check]] = {}
OTHERS: Final[dict[str, Others]] = {}


def check(area: str) -> Callable[[Check], Check]:
    """Register what an area compares: its objects with their postings. Once, at import."""

    def register(work: Check) -> Check:
        if CHECKS.setdefault(area, work) is not work:
            raise ValueError(f"agreement: {area} is registered twice")
        return work

    return register


def other_postings(area: str) -> Callable[[Others], Others]:
    """Register where an area keeps what it posts in bulk without `plan`. Once, at import."""

    def register(work: Others) -> Others:
        if OTHERS.setdefault(area, work) is not work:
            raise ValueError(f"agreement: {area} is registered twice")
        return work

    return register


async def differences(
    context: Context, gateway: Gateway, *, own_accounts: bool = True, progress: Progress = lambda _name, _done: None
) -> list[Difference]:
    """Compare everything; an empty list is agreement. Raises ClientError when the engine does not answer.

    `own_accounts`: False leaves out the institution's own accounts, for an engine that several databases share.
    """
    found = await _posting_differences(context, gateway, progress)
    found += await _balance_differences(context, gateway, own_accounts, progress)
    for area, work in CHECKS.items():
        progress(area, 0)
        found += await work(context)
    return found


# --- posting by posting ---------------------------------------------------------------------------


async def _posting_differences(context: Context, gateway: Gateway, progress: Progress) -> list[Difference]:
    """Each posting of a settled group and the engine's transfer of the same id."""
    found: list[Difference] = []
    seq, done = 0, 0
    while True:
        groups = rows_of(
            await context.connection.execute(
                select(posting_groups.c.id, posting_groups.c.seq, posting_groups.c.state, posting_groups.c.subject)
                .where(posting_groups.c.state != "planned", posting_groups.c.seq > seq)
                .order_by(posting_groups.c.seq)
                .limit(PAGE)
            )
        )
        if not groups:
            return found
        of_group = {group["id"]: group for group in groups}
        query = select(postings).where(postings.c.group_id.in_(of_group))
        rows = rows_of(await context.connection.execute(query))
        views = await gateway.transfers([row["id"] for row in rows])
        for row in rows:
            group = of_group[row["group_id"]]
            words = _fault(row, group["state"], views.get(row["id"]))
            if words:
                found.append(Difference("posting", group["subject"], f"transfer {row['id']}: {words}"))
        seq, done = groups[-1]["seq"], done + len(rows)
        progress("postings", done)


def _fault(row: Mapping[str, Any], state: str, view: TransferView | None) -> str:
    """In what a posting and the engine's transfer differ; "" when they agree."""
    if state == "refused":
        return "was refused, and the engine has it" if view is not None else ""
    if view is None:
        return "was posted, and the engine does not have it"
    flags = TransferFlag(row["flags"])
    pairs = [
        ("amount", row["amount_minor"], view.amount),
        ("flags", int(flags), int(view.flags & ~TransferFlag.LINKED)),
        *((name, row[name], getattr(view, name)) for name in _SAME),
    ]
    for name, ours, theirs in pairs:
        inherited = flags & _RESOLVING and ours in {0, ALL_PENDING}
        at_most = name == "amount" and flags & _BALANCING and theirs <= ours
        if ours != theirs and not inherited and not at_most:
            return f"{name} is {theirs} in the engine, {ours} here"
    return ""


# --- account by account ---------------------------------------------------------------------------

_MOVED = """
WITH done AS (
    SELECT p.id, p.debit_account_id AS debit, p.credit_account_id AS credit, p.amount_minor AS amount, p.flags,
           p.pending_id
    FROM office.postings p JOIN office.posting_groups g ON g.id = p.group_id WHERE {which}
), moved AS (
    SELECT debit, credit, amount, false AS held FROM done WHERE flags & :two_phase = 0
    UNION ALL
    SELECT q.debit_account_id, q.credit_account_id, CASE WHEN d.amount = -1 THEN q.amount_minor ELSE d.amount END,
           false
    FROM done d JOIN office.postings q ON q.id = d.pending_id WHERE d.flags & :post <> 0
    UNION ALL
    SELECT debit, credit, amount, true FROM done WHERE flags & :pending <> 0
    UNION ALL
    SELECT q.debit_account_id, q.credit_account_id, -q.amount_minor, true
    FROM done d JOIN office.postings q ON q.id = d.pending_id WHERE d.flags & :resolving <> 0
), sides AS (
    SELECT debit AS account, held, amount AS debits, 0 AS credits FROM moved
    UNION ALL
    SELECT credit, held, 0, amount FROM moved
)
SELECT account, coalesce(sum(debits) FILTER (WHERE NOT held), 0)::bigint AS debits_posted,
       coalesce(sum(credits) FILTER (WHERE NOT held), 0)::bigint AS credits_posted,
       coalesce(sum(debits) FILTER (WHERE held), 0)::bigint AS debits_pending,
       coalesce(sum(credits) FILTER (WHERE held), 0)::bigint AS credits_pending
FROM sides {accounts} GROUP BY account
"""
_FLAGS = {
    "pending": int(TransferFlag.PENDING),
    "post": int(TransferFlag.POST_PENDING_TRANSFER),
    "resolving": int(_RESOLVING),
    "two_phase": int(TransferFlag.PENDING | _RESOLVING),
}


async def _sums(context: Context, which: str, accounts: Sequence[int] = (), groups: Sequence[Any] = ()) -> Sums:
    """Sums of the postings of some groups, of all accounts or of some."""
    query = text(_MOVED.format(which=which, accounts="WHERE account = ANY(:accounts)" if accounts else ""))
    if accounts:
        query = query.bindparams(bindparam("accounts", list(accounts), ARRAY(BigInteger)))
    if groups:
        query = query.bindparams(bindparam("groups", list(groups), ARRAY(NUMBER)))
    rows = (await context.connection.execute(query, _FLAGS)).all()
    return {row.account: [getattr(row, name) for name in SIDES] for row in rows}


async def _expected(context: Context, gateway: Gateway, accounts: Sequence[int] = ()) -> Sums:
    """What the engine's sums must be."""
    sums = await _sums(context, "g.state = 'posted'", accounts)
    for work in OTHERS.values():
        for account, posted in (await work(context, accounts)).items():
            each = sums.setdefault(account, [0, 0, 0, 0])
            each[:2] = [each[0] + posted[0], each[1] + posted[1]]
    await _by_the_engine(context, gateway, sums)
    return sums


async def _by_the_engine(context: Context, gateway: Gateway, sums: Sums) -> None:
    """Correct sums for what only the engine knows: amounts of balancing transfers, and holds that have run out."""
    query = (
        select(postings)
        .join(posting_groups, posting_groups.c.id == postings.c.group_id)
        .where(posting_groups.c.state == "posted")
    )
    for special in (
        postings.c.flags.op("&")(int(_BALANCING)) != 0,
        postings.c.timeout_s > 0,
    ):
        rows = rows_of(await context.connection.execute(query.where(special)))
        views = await gateway.transfers([row["id"] for row in rows])
        for row in rows:
            view = views.get(row["id"])
            if view is None:
                continue  # told already, as a posting that the engine does not have
            held = bool(row["flags"] & int(TransferFlag.PENDING))
            less = row["amount_minor"] - view.amount
            if held and view.status == "expired":
                less = row["amount_minor"]
            for account, side in ((row["debit_account_id"], 0), (row["credit_account_id"], 1)):
                if account in sums:
                    sums[account][side + 2 * held] -= less


async def _unsettled(context: Context, gateway: Gateway, accounts: Sequence[int]) -> Sums:
    """Sums of what is planned here and in the engine all the same: sent, and the answer lost."""
    query = (
        select(postings.c.id, postings.c.group_id)
        .join(posting_groups, posting_groups.c.id == postings.c.group_id)
        .where(posting_groups.c.state == "planned")
    )
    rows = (await context.connection.execute(query)).all()
    views = await gateway.transfers([row.id for row in rows])
    there = {row.group_id for row in rows if row.id in views}
    return await _sums(context, "g.id = ANY(:groups)", accounts, list(there)) if there else {}


async def _balance_differences(
    context: Context, gateway: Gateway, own_accounts: bool, progress: Progress
) -> list[Difference]:
    """Sums of settled postings and the engine's; a doubt is cleared while nothing can be settled."""
    query = select(ledger_accounts.c.id).where(ledger_accounts.c.state == "created").order_by(ledger_accounts.c.id)
    if not own_accounts:
        query = query.where(ledger_accounts.c.id >= 10**12)
    accounts = list((await context.connection.execute(query)).scalars())
    expected = await _expected(context, gateway)
    suspects: list[int] = []
    for start in range(0, len(accounts), PAGE):
        part = accounts[start : start + PAGE]
        suspects += [account for account, _ in await _unequal(gateway, part, expected)]
        progress("accounts", start + len(part))
    unknown = set(expected) - set(accounts)
    known = (await context.connection.execute(select(ledger_accounts.c.id))).scalars()
    found = [
        Difference("account", f"account:{account}", "has postings, and nobody has opened it")
        for account in sorted(unknown - set(known))
    ]
    if not suspects:
        return found
    async with held_back(context):
        await context.connection.execute(text("LOCK TABLE office.posting_groups IN EXCLUSIVE MODE"))
        for start in range(0, len(suspects), PAGE):
            part = suspects[start : start + PAGE]
            again = await _expected(context, gateway, part)
            for account, more in (await _unsettled(context, gateway, part)).items():
                each = again.setdefault(account, [0, 0, 0, 0])
                again[account] = [a + b for a, b in zip(each, more, strict=True)]
            for account, words in await _unequal(gateway, part, again):
                strangers = await _strangers(context, gateway, account)
                found.append(Difference("balance", f"account:{account}", words + strangers))
    return found


@asynccontextmanager
async def held_back(context: Context) -> AsyncIterator[None]:
    """Take locks that end with the block and not with the transaction: a savepoint, rolled back. Only for reading."""
    place = await context.connection.begin_nested()
    try:
        yield
    finally:
        await place.rollback()


async def _unequal(gateway: Gateway, accounts: Iterable[int], expected: Sums) -> list[tuple[int, str]]:
    """Accounts whose sums are not as expected, and in what."""
    accounts = list(accounts)
    views = await gateway.balances(accounts)
    found = []
    for account in accounts:
        view = views.get(account)
        if view is None:
            found.append((account, "the engine does not have it"))
            continue
        words = [
            f"{name} {getattr(view, name)} in the engine, {ours} here"
            for name, ours in zip(SIDES, expected.get(account, (0, 0, 0, 0)), strict=True)
            if getattr(view, name) != ours
        ]
        if words:
            found.append((account, "; ".join(words)))
    return found


async def _strangers(context: Context, gateway: Gateway, account: int) -> str:
    """Name transfers of an account, newest first, that nobody here has planned."""
    views = await (await gateway.client()).get_account_transfers(account, limit=PAGE, reversed=True)
    ids = {view.id for view in views}
    query = select(postings.c.id).where(postings.c.id.in_(ids))
    ids -= set((await context.connection.execute(query)).scalars())
    named = sorted(str(each) for each in ids)[:UNKNOWN_MAX]
    return f"; not planned here: {', '.join(named)}" if named else ""
