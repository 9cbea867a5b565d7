"""Records of the engine as JSON, with the members and the words of docs/PROTOCOL.md.

Each function returns (timestamp, members) per record, the members without their braces.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import Engine, TransferFlag
from server.projection.columns import FLAGS_PUBLIC, NONE, TradeLegs
from server.wire.encode_orders import execution_lines, trade_lines

Array = npt.NDArray[Any]
Line = tuple[int, str]


@cache
def flag_names(flags: int) -> str:
    """Flags of a transfer as the protocol writes them."""
    return json.dumps([str(flag.name).lower() for flag in TransferFlag if flags & flag], separators=(",", ":"))


def uuid_text(value: int) -> str:
    """128 bits as the protocol writes them."""
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def text_of(words: Sequence[int]) -> str:
    """Text of three words, the first character in the lowest byte."""
    return b"".join(int(word).to_bytes(8, "little") for word in words).rstrip(b"\0").decode("ascii")


def _uuids(records: Array, name: str) -> list[str]:
    low, high = records[f"{name}_lo"].tolist(), records[f"{name}_hi"].tolist()
    return [uuid_text(upper << 64 | lower) for lower, upper in zip(low, high, strict=True)]


def transfers(engine: Engine, first: int, end: int, first_trade: int) -> list[Line]:
    """Transfers first … end - 1, as they were when they were made; `first_trade`: the first that may have legs here."""
    stored, accounts = engine.array("transfers"), engine.array("accounts")
    records = stored[first:end]
    ids, owners = _uuids(records, "id"), accounts["id"]
    pending = records["pending"]
    ends = np.flatnonzero(pending != NONE)
    pended = dict(zip(ends.tolist(), _uuids(stored[pending[ends]], "id"), strict=True)) if len(ends) else {}
    low, high = records["user_data_128_lo"], records["user_data_128_hi"]
    legs = TradeLegs(engine, first_trade).of(first, end).tolist()
    found = []
    for place, (debit, credit, amount, ledger, code, flags, timeout, lo, hi, data_64, data_32, trade, at) in (
        enumerate(
            zip(
                owners[records["debit"]].tolist(), owners[records["credit"]].tolist(), records["amount"].tolist(),
                accounts["ledger"][records["debit"]].tolist(), records["code"].tolist(),
                (records["flags"] & FLAGS_PUBLIC).tolist(), records["timeout"].tolist(),
                low.tolist(), high.tolist(), records["user_data_64"].tolist(), records["user_data_32"].tolist(),
                legs, records["timestamp"].tolist(), strict=True,
            )
        )
    ):  # fmt: skip
        # What it was when it was made: only what was pending changes later.
        status = "pending" if flags & TransferFlag.PENDING else "posted"
        if flags & TransferFlag.VOID_PENDING_TRANSFER:
            status = "voided"
        line = (
            f'"id":"{ids[place]}","debit_account_id":{debit},"credit_account_id":{credit},"amount":{amount},'
            f'"ledger":{ledger},"code":{code},"flags":{flag_names(flags)},"status":"{status}"'
        )
        if place in pended:
            line += f',"pending_id":"{pended[place]}"'
        if timeout:
            line += f',"timeout":{timeout}'
        if trade:
            line += f',"trade_id":{trade}'
        if lo or hi or data_64 or data_32:
            line += f',"user_data_128":"{uuid_text(hi << 64 | lo)}","user_data_64":{data_64},"user_data_32":{data_32}'
        found.append((at, line))
    return found


def balances(accounts: Array, timestamp: int) -> list[Line]:
    """Accounts with the balances that they have now."""
    names = ("id", "ledger", "code", "debits_pending", "debits_posted", "credits_pending", "credits_posted")
    columns = [accounts[name].tolist() for name in names]
    told = (
        '"account_id":{},"ledger":{},"code":{},"debits_pending":{},"debits_posted":{},"credits_pending":{},'
        '"credits_posted":{}'
    )
    return [(timestamp, told.format(*values)) for values in zip(*columns, strict=True)]


def executions(views: Array) -> list[Line]:
    """What happened to orders, as subscribers are told it."""
    return _told(execution_lines(views, 0, False), views) if len(views) else []


def trades(views: Array) -> list[Line]:
    """Trades with what only their parties are told: orders, trading accounts, fees."""
    told = _told(trade_lines(views, 0, False), views) if len(views) else []
    names = (
        "notional", "buy_order_id", "sell_order_id", "buy_account_id", "sell_account_id", "buy_fee", "sell_fee", "duty",
        "business_date",
    )  # fmt: skip
    columns = zip(*(views[name].tolist() for name in names), strict=True)
    more = ("".join(f',"{name}":{value}' for name, value in zip(names, row, strict=True)) for row in columns)
    return [(at, line + rest) for (at, line), rest in zip(told, more, strict=True)]


def _told(lines: bytes, views: Array) -> list[Line]:
    """The members of notifications, without their seq, which the event has."""
    found = []
    for line, at in zip(lines.decode("ascii").splitlines(), views["timestamp"].tolist(), strict=True):
        first = line.index('"params":{') + 10
        last = line.rindex(',"seq":')
        found.append((at, _without_timestamp(line[first:last])))
    return found


def _without_timestamp(members: str) -> str:
    return members[: members.rindex(',"timestamp":')]
