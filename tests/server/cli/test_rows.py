"""Files of rows: what is read, what is refused and why, and that ids of rows never change."""

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from engine.results import AMOUNT_ALL, AccountFlag, TransferFlag
from server.cli.common import CommandError
from server.cli.importing import _groups, _sendable
from server.cli.rows import NAMESPACE, Columns, Row, Source, row_id
from server.client import Account, Transfer

HEADER = "debit_account_id,credit_account_id,amount,ledger,code"


def source(tmp_path: Path, text: str, kind: str = "transfers", name: str = "f.csv", **columns: Any) -> Source:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8"))
    return Source(path, kind, Columns(**columns))


def items(tmp_path: Path, text: str, kind: str = "transfers", **columns: Any) -> list[Any]:
    rows = list(source(tmp_path, text, kind, **columns))
    assert [row.problem for row in rows] == [""] * len(rows)
    return [row.item for row in rows]


def problems(tmp_path: Path, text: str, kind: str = "transfers", **columns: Any) -> list[str]:
    return [row.problem for row in source(tmp_path, text, kind, **columns)]


def test_a_transfer_with_everything(tmp_path: Path) -> None:
    id_, pending, data = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    text = (
        "id,debit_account_id,credit_account_id,amount,ledger,code,flags,pending_id,timeout,user_data_128,"
        "user_data_64,user_data_32\n"
        f"{id_},1,2,300,156,7,linked|pending,{pending},60,{data},8,9\n"
    )
    (item,) = items(tmp_path, text)
    assert item == Transfer(
        id_, 1, 2, 300, 156, 7, ["linked", "pending"], pending_id=pending, timeout=60, user_data_128=data,
        user_data_64=8, user_data_32=9,
    )  # fmt: skip


def test_an_account_with_everything(tmp_path: Path) -> None:
    text = "id,ledger,code,flags,overdraft_limit,timestamp\n5,156,10,history debits_must_not_exceed_credits,70,\n"
    flags = AccountFlag.HISTORY | AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS
    assert items(tmp_path, text, "accounts") == [Account(5, 156, 10, flags, overdraft_limit=70)]


def test_a_timestamp_makes_it_imported(tmp_path: Path) -> None:
    times = ["5", "1993-01-01", "1993-01-01T12:00:00.000001Z", "1993-01-01 12:00+01:00", ""]
    text = "id,ledger,code,timestamp\n" + "".join(f"{n},1,1,{time}\n" for n, time in enumerate(times, 1))
    found = items(tmp_path, text, "accounts")
    start = int(datetime(1993, 1, 1, tzinfo=UTC).timestamp()) * 10**9
    assert [item.timestamp for item in found] == [
        5,
        start,
        start + 12 * 3600 * 10**9 + 1000,
        start + 11 * 3600 * 10**9,
        0,
    ]
    assert [bool(item.flags & AccountFlag.IMPORTED) for item in found] == [True] * 4 + [False]


def test_posts_and_voids_may_leave_the_rest_out(tmp_path: Path) -> None:
    pending = uuid.uuid4()
    (item,) = items(tmp_path, f"pending_id,flags\n{pending},post_pending_transfer\n")
    assert (item.amount, item.pending_id, item.flags) == (AMOUNT_ALL, pending.int, TransferFlag.POST_PENDING_TRANSFER)


@pytest.mark.parametrize(
    ("text", "decimals", "amount"),
    [("300", 0, 300), ("3.00", 0, 3), ("12.5", 2, 1250), ("12.50", 2, 1250), ("12", 2, 1200), ("0.01", 2, 1),
     ("92233720368547758.07", 2, 2**63 - 1), ("0.000000000000000001", 18, 1)],
)  # fmt: skip
def test_amounts_are_converted_exactly(tmp_path: Path, text: str, decimals: int, amount: int) -> None:
    (item,) = items(tmp_path, f"{HEADER}\n1,2,{text},156,1\n", decimals=decimals)
    assert item.amount == amount


@pytest.mark.parametrize(
    ("row", "decimals", "problem"),
    [
        ("1,2,x,156,1", 0, "amount: 'x' is not a whole number"),
        ("1,2,12.5,156,1", 0, "amount: '12.5' has more than 0 decimals"),
        ("1,2,12.505,156,1", 2, "amount: '12.505' has more than 2 decimals"),
        ("1,2,1e3,156,1", 2, "amount: '1e3' is not a number"),
        ("1,2,-5,156,1", 0, "amount: '-5' is not a whole number"),
        ("1,2,9223372036854775808,156,1", 0, "amount: 9223372036854775808 is not an integer from 0"),
        ("1,2,,156,1", 0, "amount: may be left out for a post or a void only"),
        ("1,2,5,156", 0, "has 4 cells, the header 5"),
        ("1.0,2,5,156,1", 0, "debit_account_id: '1.0' is not a whole number"),
        ("１,2,5,156,1", 0, "debit_account_id: '１' is not a whole number"),
        ("1,2,5,156,70000", 0, "code: 70000 is not an integer from 0 to 65535"),
    ],
)
def test_what_is_wrong_with_a_row(tmp_path: Path, row: str, decimals: int, problem: str) -> None:
    (found,) = problems(tmp_path, f"{HEADER}\n{row}\n", decimals=decimals)
    assert found.startswith(problem)


def test_other_cells_that_are_wrong(tmp_path: Path) -> None:
    assert problems(tmp_path, "id,ledger,code\n,1,1\n0,1,1\n", "accounts") == [
        "id: is missing",
        "id: 0 is not an integer from 1 to 9223372036854775807",
    ]
    (flag,) = problems(tmp_path, "id,ledger,code,flags\n1,1,1,histroy\n", "accounts")
    assert flag.startswith("flags: there is no account flag 'histroy'")
    (time,) = problems(tmp_path, "id,ledger,code,timestamp\n1,1,1,yesterday\n", "accounts")
    assert "neither nanoseconds nor a date" in time
    (id_,) = problems(tmp_path, f"id,{HEADER}\nabc,1,2,3,4,5\n")
    assert id_ == "id: 'abc' is not UUID text"


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("id,ledger\n", {}, "there is no column 'code'"),
        ("id,ledger,code,colour\n", {}, "the column 'colour' is no member of accounts"),
        ("id,ledger,code,code\n", {}, "the header has 'code' twice"),
        ("id,ledger,code\n", {"columns": {"id": "nummer"}}, "the column 'id' is no member"),
        ("nr,ledger,code\n", {"columns": {"id": "nummer"}, "ignored": frozenset({"nr"})}, "no column 'nummer' for id"),
        ("id,ledger,code\n", {"constants": {"code": "5"}}, "code: comes both from a column and from --set"),
        ("id,ledger,code\n", {"constants": {"amount": "5"}}, "'amount' is not a member of accounts"),
        ("", {}, "there is no column 'id'"),
    ],
)
def test_what_is_wrong_with_a_header(tmp_path: Path, text: str, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        source(tmp_path, text, "accounts", **columns)


def test_columns_of_other_names_constants_and_delimiters(tmp_path: Path) -> None:
    text = '\ufeffSoll;Haben;Betrag;Text\r\n1;2;3;"a;b\nc"\r\n\r\n4;5;6;x\r\n'
    columns = {"debit_account_id": "Soll", "credit_account_id": "Haben", "amount": "Betrag"}
    made = source(
        tmp_path,
        text,
        columns=columns,
        constants={"ledger": "978", "code": "1"},
        ignored=frozenset({"Text"}),
        delimiter=";",
    )
    rows = list(made)
    assert [(row.item.debit_account_id, row.item.amount, row.item.ledger) for row in rows if row.item] == [  # type: ignore[union-attr]
        (1, 3, 978), (4, 6, 978),
    ]  # fmt: skip
    assert [(row.number, row.line) for row in rows] == [(1, 3), (2, 5)]


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(HEADER.encode() + b"\n1,2,3,4,5\n\xff\xfe,2,3,4,5\n")
    with pytest.raises(CommandError, match=r"x\.csv: 'utf-8' codec"):
        list(Source(path, "transfers", Columns()))
    (tmp_path / "x.parquet").write_bytes(b"nonsense")
    with pytest.raises(CommandError, match=r"x\.parquet"):
        Source(tmp_path / "x.parquet", "transfers", Columns())


def test_ids_of_rows_come_from_content_and_number(tmp_path: Path) -> None:
    text = f"{HEADER}\n1,2,3,4,5\n1,2,3,4,5\n"
    first = [item.id for item in items(tmp_path, text)]
    (tmp_path / "other").mkdir()
    assert [item.id for item in items(tmp_path / "other", text)] == first
    assert len(set(first)) == 2
    assert not set(first) & {item.id for item in items(tmp_path, text + "1,2,3,4,5\n")}
    import hashlib

    content = hashlib.sha256(text.encode()).hexdigest()
    assert first[1] == uuid.uuid5(NAMESPACE, f"{content}:2").int == row_id(content, 2)


def test_parquet(tmp_path: Path) -> None:
    id_ = uuid.uuid4()
    table = pa.table({
        "id": pa.array([str(id_), None]),
        "debit_account_id": pa.array([1, 2], pa.uint64()),
        "credit_account_id": pa.array([2, 1], pa.int32()),
        "amount": pa.array([Decimal("12.50"), Decimal("0.01")], pa.decimal128(20, 2)),
        "flags": pa.array([["pending"], None], pa.list_(pa.string())),
        "user_data_128": pa.array([id_.bytes, None], pa.binary(16)),
        "timestamp": pa.array([None, datetime(1993, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")),
    })  # fmt: skip
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    made = Source(tmp_path / "t.parquet", "transfers", Columns(constants={"ledger": "156", "code": "1"}, decimals=2))
    assert made.rows == 2
    one, two = [row.item for row in made]
    assert isinstance(one, Transfer)
    assert isinstance(two, Transfer)
    assert (one.id, one.amount, one.flags, one.user_data_128) == (id_.int, 1250, TransferFlag.PENDING, id_.int)
    assert (two.amount, two.flags, two.id) == (1, TransferFlag.IMPORTED, row_id(made.sha256, 2))
    assert two.timestamp == int(datetime(1993, 1, 1, tzinfo=UTC).timestamp()) * 10**9
    days = pa.table({"id": [1], "ledger": [1], "code": [1], "timestamp": pa.array([date(1993, 1, 1)])})
    pyarrow.parquet.write_table(days, tmp_path / "d.parquet")
    (row,) = Source(tmp_path / "d.parquet", "accounts", Columns())
    assert row.item is not None
    assert row.item.timestamp == two.timestamp


def test_floating_point_money_is_refused(tmp_path: Path) -> None:
    columns: dict[str, Any] = {name: [1] for name in HEADER.split(",")}
    pyarrow.parquet.write_table(pa.table(columns | {"amount": [12.5]}), tmp_path / "f.parquet")
    with pytest.raises(CommandError, match="'amount' holds floating-point numbers"):
        list(Source(tmp_path / "f.parquet", "transfers", Columns()))


def row(number: int, *, linked: bool = False, imported: bool = False, good: bool = True) -> Row:
    item = Transfer(number, 1, 2, 3, 4, 5) if good else None
    return Row(number, number + 1, item, "" if good else "bad", linked, imported)


def sizes(rows: list[Row], batch: int) -> list[list[int]]:
    return [[row.number for row in group] for group in _groups(iter(rows), batch)]


def test_requests_hold_whole_chains_and_one_kind() -> None:
    assert sizes([row(n) for n in range(1, 6)], 2) == [[1, 2], [3, 4], [5]]
    chain = [row(1), row(2, linked=True), row(3, linked=True), row(4), row(5)]
    assert sizes(chain, 3) == [[1], [2, 3, 4], [5]]
    mixed = [row(1), row(2, imported=True), row(3, good=False), row(4, imported=True), row(5)]
    assert sizes(mixed, 10) == [[1], [2, 3, 4], [5]]
    assert sizes([row(1, good=False), row(2, imported=True), row(3)], 10) == [[1, 2], [3]]
    assert sizes([row(1), row(2, linked=True)], 10) == [[1, 2]]
    assert sizes([], 10) == []
    with pytest.raises(CommandError, match="line 2: its linked chain is longer"):
        sizes([row(n, linked=True) for n in range(1, 5)], 3)


def test_a_chain_with_a_bad_row_is_not_sent() -> None:
    rows = [row(1), row(2, linked=True), row(3, good=False), row(4), row(5, linked=True), row(6)]
    assert [r.number for r in _sendable(rows)] == [1, 4, 5, 6]
