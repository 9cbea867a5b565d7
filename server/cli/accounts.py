"""`tongbao accounts`: list, look up, create and update accounts."""

import uuid
from typing import Annotated, Any

from cyclopts import App, Parameter

from server.cli.common import CommandError, Exit, Json, Target, print_json, print_table, run
from server.client import Account, AccountUpdate, AccountView, BalanceView, Result
from server.client.values import flag_names

app = App(help="List, look up, create and update accounts; the history of their balances.")

_COLUMNS = (
    "id", "ledger", "code", "debits_pending", "debits_posted", "credits_pending", "credits_posted", "balance",
    "overdraft_limit", "flags",
)  # fmt: skip
_NUMBERS = set(_COLUMNS) - {"flags"}


def account_dict(view: AccountView) -> dict[str, Any]:
    """Give an account with the protocol's member names."""
    values = view._asdict() | {"flags": flag_names(view.flags), "balance": view.balance}
    values["user_data_128"] = str(uuid.UUID(int=view.user_data_128))
    return values


def _show(views: list[AccountView], *, json: bool) -> None:
    if json:
        print_json([account_dict(view) for view in views])
        return
    rows = []
    for view in views:
        values = account_dict(view)
        values["flags"] = " ".join(values["flags"])
        rows.append([values[column] for column in _COLUMNS])
    print_table("", _COLUMNS, rows, right=_NUMBERS)


@app.command(name="list")
def list_accounts(
    *,
    target: Target = Target(),  # noqa: B008
    ledger: int | None = None,
    code: int | None = None,
    user_data_128: uuid.UUID | None = None,
    user_data_64: int | None = None,
    user_data_32: int | None = None,
    limit: int = 100,
    newest: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """List the accounts that meet all conditions, oldest first.

    Exit codes: 0 done (also when there are none), 1 not reachable, 2 wrong usage, 4 refused.

    Parameters
    ----------
    ledger
        Of this ledger only.
    code
        With this code only.
    user_data_128
        With this UUID in user_data_128 only.
    user_data_64
        With this number only.
    user_data_32
        With this number only.
    limit
        At most so many, up to 8190.
    newest
        Newest first.
    json
        Print one JSON document.
    """

    async def ask() -> list[AccountView]:
        async with target.client() as client:
            return await client.query_accounts(
                ledger=ledger, code=code, user_data_128=user_data_128, user_data_64=user_data_64,
                user_data_32=user_data_32, limit=limit, reversed=newest,
            )  # fmt: skip

    _show(run(ask()), json=json)
    return Exit.OK


@app.command
def lookup(ids: list[int], /, *, target: Target = Target(), json: Json = False) -> int:  # noqa: B008
    """Look accounts up by id.

    Exit codes: 0 all are there, 1 not reachable, 2 wrong usage, 4 refused, 6 at least one is not there.

    Parameters
    ----------
    ids
        Account ids.
    json
        Print one JSON document: null for an account that is not there.
    """

    async def ask() -> list[AccountView | None]:
        async with target.client() as client:
            return await client.lookup_accounts(ids)

    views = run(ask())
    if json:
        print_json([None if view is None else account_dict(view) for view in views])
    else:
        _show([view for view in views if view is not None], json=False)
    missing = [str(id_) for id_, view in zip(ids, views, strict=True) if view is None]
    if missing and not json:
        raise CommandError(f"no such account: {', '.join(missing)}", Exit.NOT_FOUND)
    return Exit.NOT_FOUND if missing else Exit.OK


@app.command
def create(
    id: int,  # noqa: A002 - the protocol's name
    /,
    *,
    target: Target = Target(),  # noqa: B008
    ledger: int,
    code: int,
    flag: Annotated[list[str], Parameter(negative="")] = [],  # noqa: B006 - cyclopts copies it
    overdraft_limit: int = 0,
    user_data_128: uuid.UUID = uuid.UUID(int=0),  # noqa: B008
    user_data_64: int = 0,
    user_data_32: int = 0,
    json: Json = False,
) -> int:
    """Create one account and print the answer.

    Exit codes: 0 created or exists exactly so, 1 not reachable, 2 wrong usage, 4 request refused, 5 account refused.

    Parameters
    ----------
    id
        Id of the account, 1 to 2^63-1.
    ledger
        Ledger: its currency or asset, as 156 for CNY.
    code
        Class in the chart of accounts, 1 to 65535.
    flag
        debits_must_not_exceed_credits, credits_must_not_exceed_debits, history, closed, frozen. May be repeated.
    overdraft_limit
        Debits may exceed credits by so much; needs debits_must_not_exceed_credits.
    user_data_128
        A UUID of your own.
    user_data_64
        A number of your own, up to 2^64-1.
    user_data_32
        A number of your own, up to 2^32-1.
    json
        Print one JSON document.
    """
    account = Account(
        id, ledger, code, flag, overdraft_limit=overdraft_limit, user_data_128=user_data_128,
        user_data_64=user_data_64, user_data_32=user_data_32,
    )  # fmt: skip

    async def ask() -> Result:
        async with target.client() as client:
            return (await client.create_accounts([account]))[0]

    return print_result(run(ask()), json=json)


@app.command
def update(
    id: int,  # noqa: A002 - the protocol's name
    /,
    *,
    target: Target = Target(),  # noqa: B008
    overdraft_limit: int | None = None,
    frozen: bool | None = None,
    json: Json = False,
) -> int:
    """Set the overdraft limit of an account, freeze or release it, and print the answer.

    Exit codes: 0 updated, 1 not reachable, 2 wrong usage, 4 request refused, 5 update refused.

    Parameters
    ----------
    id
        Id of the account.
    overdraft_limit
        The new limit; the account needs the flag debits_must_not_exceed_credits.
    frozen
        Freeze the account, or release it with --no-frozen.
    json
        Print one JSON document.
    """
    if overdraft_limit is None and frozen is None:
        raise CommandError("give --overdraft-limit, --frozen or --no-frozen")
    if overdraft_limit is not None and not 0 <= overdraft_limit < 2**63:
        raise CommandError(f"--overdraft-limit: {overdraft_limit} is not from 0 to 2^63-1")

    async def ask() -> Result:
        async with target.client() as client:
            return (await client.update_accounts([AccountUpdate(id, overdraft_limit, frozen)]))[0]

    return print_result(run(ask()), json=json)


@app.command
def history(
    id: int,  # noqa: A002 - the protocol's name
    /,
    *,
    target: Target = Target(),  # noqa: B008
    limit: int = 100,
    newest: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Print the balances of an account after each of its transfers; the account needs the flag `history`.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused (also when there is no history).

    Parameters
    ----------
    id
        Id of the account.
    limit
        At most so many, up to 8190.
    newest
        Newest first.
    json
        Print one JSON document.
    """

    async def ask() -> list[BalanceView]:
        async with target.client() as client:
            return await client.get_account_balances(id, limit=limit, reversed=newest)

    views = run(ask())
    if json:
        print_json([view._asdict() for view in views])
    else:
        columns = (*BalanceView._fields, "balance")
        print_table("", columns, [(*view, view.balance) for view in views], right=columns)
    return Exit.OK


def print_result(result: Result, *, json: bool, **more: Any) -> int:
    """Print the answer to a write, and choose the exit code."""
    status = result.status.name.lower()
    if json:
        print_json({**more, "status": status, "timestamp": result.timestamp})
    else:
        print(" ".join([*(str(value) for value in more.values()), status, str(result.timestamp)]))
    return Exit.OK if result.created_or_exists or status == "updated" else Exit.ITEM_REFUSED
