"""The shared memory layout, and the numbers that stand in commands, results and the log."""

from enum import IntEnum, IntFlag

import numpy as np
import pytest

from engine import order_results, results
from engine._core import codes, order_codes, order_records, records
from engine.matching import records as books
from engine.results import AccountFlag, FilterFlag, Status, TransferFlag, TransferState, UpdateField
from engine.settlement import records as settlement

FLAT: dict[str, tuple[np.dtype[np.void], int]] = {
    **records.SIZES,
    **order_records.SIZES,
    **settlement.SIZES,
    **{name: sizes[:2] for name, sizes in books.SIZES.items() if name not in {"Node", "Instrument"}},
}


@pytest.mark.parametrize("name", FLAT)
def test_records_have_the_size_written_down_and_no_padding(name: str) -> None:
    dtype, size = FLAT[name]
    assert dtype.itemsize == size
    assert sum(dtype[field].itemsize for field in dtype.names or ()) + tail(dtype) == size
    offset = 0
    for field in dtype.names or ():
        assert dtype.fields is not None
        assert dtype.fields[field][1] == offset, f"{name}.{field}: a gap before it"
        offset += dtype[field].itemsize
        assert dtype[field].byteorder in "<=|"
        assert np.issubdtype(dtype[field], np.unsignedinteger)


def tail(dtype: np.dtype[np.void]) -> int:
    """Bytes behind the last field that round the record up to its alignment: fewer than 8."""
    used = sum(dtype[field].itemsize for field in dtype.names or ())
    assert dtype.itemsize - used < 8
    return dtype.itemsize - used


ENUMERATIONS: list[tuple[type[IntEnum] | type[IntFlag], dict[str, int], str]] = [
    (Status, codes.STATUS, ""),
    (AccountFlag, codes.ACCOUNT_FLAG, "ACCOUNT_"),
    (TransferFlag, codes.TRANSFER_FLAG, "TRANSFER_"),
    (TransferState, codes.TRANSFER_STATE, "STATE_"),
    (UpdateField, codes.UPDATE_FIELD, "UPDATE_"),
    (FilterFlag, codes.FILTER_FLAG, "FILTER_"),
]


@pytest.mark.parametrize(
    ("enumeration", "compiled", "prefix"), ENUMERATIONS, ids=lambda part: getattr(part, "__name__", "")
)
def test_the_enumerations_are_the_compiled_numbers(
    enumeration: type[IntEnum] | type[IntFlag], compiled: dict[str, int], prefix: str
) -> None:
    above = {member.name: int(member) for member in enumeration}
    below = {name.removeprefix(prefix): number for name, number in compiled.items()}
    for name in ("FLAGS_PUBLIC", "HAS_OVERDRAFT_LIMIT"):  # a mask, and a mark inside the ledger
        below.pop(name, None)
    assert above == below


PREFIXES = {
    "Side": "SIDE_", "OrderType": "TYPE_", "TimeInForce": "TIF_", "SelfTradePrevention": "STP_", "Offset": "OFFSET_",
    "OrderFlag": "ORDER_", "InstrumentFlag": "INSTRUMENT_", "InstrumentField": "FIELD_", "AmendField": "AMEND_",
    "Session": "SESSION_", "SessionFlag": "SESSION_", "OrderStatus": "ORDER_", "ExecutionKind": "EXECUTION_",
    "TradeState": "TRADE_", "OrderFilterFlag": "FILTER_", "TransferCode": "CODE_", "Reason": "REASON_",
}  # fmt: skip


@pytest.mark.parametrize("name", order_codes.NUMBERS)
def test_the_enumerations_about_orders_are_the_compiled_numbers(name: str) -> None:
    above = {member.name: int(member) for member in getattr(order_results, name)}
    below = {text.removeprefix(PREFIXES[name]): number for text, number in order_codes.NUMBERS[name].items()}
    assert above == below


@pytest.mark.parametrize("enumeration", [Status, TransferState, order_results.OrderStatus, order_results.Reason])
def test_numbers_have_no_gaps_and_no_repeats(enumeration: type[IntEnum]) -> None:
    assert [int(member) for member in enumeration] == list(range(len(enumeration)))
    assert len(enumeration.__members__) == len(enumeration), "no aliases"


@pytest.mark.parametrize("enumeration", [AccountFlag, TransferFlag, UpdateField, FilterFlag])
def test_flags_are_single_bits_without_gaps(enumeration: type[IntFlag]) -> None:
    assert [int(member) for member in enumeration] == [1 << bit for bit in range(len(enumeration))]
    assert len(enumeration.__members__) == len(enumeration), "no aliases"


def test_the_public_flags_are_those_that_the_compiled_side_lets_through() -> None:
    assert codes.ACCOUNT_FLAG["ACCOUNT_FLAGS_PUBLIC"] == sum(AccountFlag)
    assert codes.TRANSFER_FLAG["TRANSFER_FLAGS_PUBLIC"] == sum(TransferFlag)
    assert codes.ACCOUNT_FLAG["ACCOUNT_HAS_OVERDRAFT_LIMIT"] & sum(AccountFlag) == 0


def test_an_unknown_status_is_not_taken_in_silence() -> None:
    with pytest.raises(ValueError, match=str(len(Status))):
        Status(len(Status))


def test_kinds_of_requests_do_not_repeat() -> None:
    assert len(set(codes.KIND.values())) == len(codes.KIND)


def test_the_special_amounts() -> None:
    assert results.AMOUNT_ALL == 2**64 - 1
    assert results.INT63_MAX == 2**63 - 1
