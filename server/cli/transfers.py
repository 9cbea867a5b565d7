"""`tongbao transfer` makes one, `tongbao transfers` lists those of an account or looks some up."""

import uuid
from typing import Annotated, Any

from cyclopts import Parameter

from engine.results import AMOUNT_ALL
from server.cli.accounts import print_result
from server.cli.common import CommandError, Exit, Json, Target, print_json, print_table, run
from server.client import Result, Transfer, TransferView, uuid7
from server.client.values import flag_names

_COLUMNS = ("timestamp", "id", "debit_account_id", "credit_account_id", "amount", "ledger", "code", "status", "flags")
_NUMBERS = {"timestamp", "debit_account_id", "credit_account_id", "amount", "ledger", "code"}


def transfer(
    *,
    target: Target = Target(),  # noqa: B008
    debit: int = 0,
    credit: int = 0,
    amount: int | None = None,
    ledger: int = 0,
    code: int = 0,
    id: uuid.UUID | None = None,  # noqa: A002 - the protocol's name
    flag: Annotated[list[str], Parameter(negative="")] = [],  # noqa: B006 - cyclopts copies it
    pending_id: uuid.UUID | None = None,
    expires: int = 0,
    user_data_128: uuid.UUID = uuid.UUID(int=0),  # noqa: B008
    user_data_64: int = 0,
    user_data_32: int = 0,
    json: Json = False,
) -> int:
    """Make one transfer and print its id and the answer.

    To repeat a command whose outcome you do not know, give it the same --id: then it is never made twice.

    Exit codes: 0 created or exists exactly so, 1 not reachable, 2 wrong usage, 4 request refused, 5 transfer refused.

    Parameters
    ----------
    debit
        Account to debit.
    credit
        Account to credit.
    amount
        Whole number in the ledger's minor unit. For a post or a void it may be left out: all of it.
    ledger
        Ledger of both accounts.
    code
        What kind of transfer it is, 1 to 65535.
    id
        Its UUID; a new one when left out.
    flag
        pending, post_pending_transfer, void_pending_transfer, balancing_debit, balancing_credit, closing_debit,
        closing_credit. May be repeated.
    pending_id
        The pending transfer that this one posts or voids.
    expires
        Seconds after which a pending transfer expires; 0 for never.
    user_data_128
        A UUID of your own.
    user_data_64
        A number of your own, up to 2^64-1.
    user_data_32
        A number of your own, up to 2^32-1.
    json
        Print one JSON document.
    """
    item = Transfer(
        id or uuid7(), debit, credit, AMOUNT_ALL if amount is None else amount, ledger, code, flag,
        pending_id=pending_id or 0, timeout=expires, user_data_128=user_data_128, user_data_64=user_data_64,
        user_data_32=user_data_32,
    )  # fmt: skip

    async def ask() -> Result:
        async with target.client() as client:
            return (await client.create_transfers([item]))[0]

    return print_result(run(ask()), json=json, id=str(uuid.UUID(int=item.id)))


def transfer_dict(view: TransferView) -> dict[str, Any]:
    """Give a transfer with the protocol's member names."""
    values = view._asdict() | {"flags": flag_names(view.flags), "id": str(view.id)}
    values["pending_id"] = None if view.pending_id is None else str(view.pending_id)
    values["user_data_128"] = str(uuid.UUID(int=view.user_data_128))
    return values


def transfers(
    account: int | None = None,
    /,
    *,
    target: Target = Target(),  # noqa: B008
    id: Annotated[list[uuid.UUID] | None, Parameter(negative="")] = None,  # noqa: A002
    debits: Annotated[bool, Parameter(negative="")] = False,
    credits: Annotated[bool, Parameter(negative="")] = False,  # noqa: A002
    code: int | None = None,
    timestamp_min: int | None = None,
    timestamp_max: int | None = None,
    limit: int = 100,
    newest: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """List the transfers of an account, oldest first, or look some up by --id.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused, 6 at least one --id is not there.

    Parameters
    ----------
    account
        Id of the account.
    id
        UUID of a transfer to look up, instead of an account. May be repeated.
    debits
        Only transfers that debit the account.
    credits
        Only transfers that credit the account.
    code
        With this code only.
    timestamp_min
        From this time on, nanoseconds since 1970.
    timestamp_max
        Up to this time.
    limit
        At most so many, up to 8190.
    newest
        Newest first.
    json
        Print one JSON document.
    """
    if (account is None) == (id is None):
        raise CommandError("give an account, or --id, and not both")

    async def ask() -> list[TransferView | None]:
        async with target.client() as client:
            if id is not None:
                return await client.lookup_transfers(id)
            assert account is not None
            found = await client.get_account_transfers(
                account, debits=debits, credits=credits, code=code, timestamp_min=timestamp_min,
                timestamp_max=timestamp_max, limit=limit, reversed=newest,
            )  # fmt: skip
            return list(found)

    views = run(ask())
    if json:
        print_json([None if view is None else transfer_dict(view) for view in views])
    else:
        rows = []
        for view in views:
            if view is not None:
                values = transfer_dict(view)
                values["flags"] = " ".join(values["flags"])
                rows.append([values[column] for column in _COLUMNS])
        print_table("", _COLUMNS, rows, right=_NUMBERS)
    missing = [str(id_) for id_, view in zip(id or [], views, strict=False) if view is None]
    if missing and not json:
        raise CommandError(f"no such transfer: {', '.join(missing)}", Exit.NOT_FOUND)
    return Exit.NOT_FOUND if missing else Exit.OK
