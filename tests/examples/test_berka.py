"""The bank's real data through a real server: every balance after every row and every day."""

from datetime import date
from pathlib import Path

import pytest

from examples.berka import data
from examples.berka.__main__ import figures, main, send
from examples.berka.books import Contra, account_array, kind_of, transfer_array
from examples.local_server import LocalServer
from server.client import Client

DIRECTORY = data.find()
needs_data = pytest.mark.skipif(DIRECTORY is None, reason="the Berka data are not here; see TONGBAO_SHARED_DATA")


@pytest.fixture
def directory() -> Path:
    assert DIRECTORY is not None
    return DIRECTORY


def row(number: int, amount: int, balance: int, day: int = 1, account: int = 7) -> data.Row:
    return data.Row(number, account, date(1993, 1, day), "PRIJEM", "VKLAD", "", amount, balance)


def test_amounts_are_exact() -> None:
    assert [data.haler(text) for text in ("700.00", "14.6", "0.1", "-5446.60", "3")] == [70000, 1460, 10, -544660, 300]
    for text in ("1.005", "1e3", "", "1,5", "--1"):
        with pytest.raises(data.DataError):
            data.haler(text)


def test_the_booking_order_is_that_in_which_balances_chain() -> None:
    rows = [row(3, -200, 1300), row(1, 1000, 1000), row(2, 500, 1500), row(4, 100, 1400, 2), row(5, 50, 50, account=8)]
    assert [r.id for r in data.booking_order(rows) if r.account == 7] == [1, 2, 3, 4]
    rounded = [row(1, 1003, 1000), row(2, 500, 1500)]
    assert [r.id for r in data.booking_order(rounded)] == [1, 2]
    with pytest.raises(data.DataError, match="account 7, 1993-01-02: its balances do not chain"):
        data.booking_order([row(1, 1000, 1000), row(2, 500, 1700, 2)])


def test_a_row_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(data.DataError, match="transaction 1: operation 'X'"):
        kind_of(row(1, 5, 5)._replace(operation="X"))


def test_money_moves_the_right_way() -> None:
    deposit, withdrawal = row(1, 1000, 1000), row(2, -400, 600)._replace(operation="VYBER")
    array = transfer_array([deposit, withdrawal])
    assert array["debit_account_id"].tolist() == [Contra.CASH, 7]
    assert array["credit_account_id"].tolist() == [7, Contra.CASH]
    assert array["amount"].tolist() == [1000, 400]
    times = [*account_array([data.Opening(7, date(1993, 1, 1))], date(1993, 1, 1))["timestamp"], *array["timestamp"]]
    assert times == sorted(set(times))


def test_the_command_ends_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "reconcile" in capsys.readouterr().out
    assert main([str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.startswith("berka: ")


@needs_data
@pytest.mark.data
async def test_every_balance_of_the_bank_is_reproduced(directory: Path, tmp_path: Path) -> None:
    with LocalServer(tmp_path) as server:
        async with Client(server.host, server.port) as client:
            values = figures(await send(client, directory, quiet=True))
            again = figures(await send(client, directory, quiet=True))
    assert values["refused"] == {}
    assert values["wrong"] == []
    assert (values["accounts"], values["transfers"]) == (4506, 46_997)
    assert (values["accounts_with_rows"], values["rows"]) == (1229, 46_997)
    # The data set's description counts rows by day: 43,520 on days that chain exactly, 3,477 on days with a rounding.
    assert (values["rows_on_exact_days"], values["rows_on_rounded_days"]) == (43_520, 3477)
    assert (values["rows_exact"], values["rows_rounded"]) == (44_966, 2031)
    assert (values["days"], values["days_exact"], values["days_rounded"]) == (38_821, 36_839, 1982)
    assert values["rows_overdrawn"] == 88
    assert values["drift_max_haler"] == 70
    # Sent a second time, everything exists and nothing moves.
    assert {name: again[name] for name in _COUNTS} == {name: values[name] for name in _COUNTS}


_COUNTS = ("refused", "wrong", "rows", "rows_exact", "rows_rounded", "drift_max_haler", "contra_haler")


@needs_data
@pytest.mark.data
def test_the_contra_accounts_hold_what_the_file_says(directory: Path) -> None:
    rows = data.booking_order(data.read_transactions(directory))
    sums: dict[Contra, int] = {}
    for item in rows:
        contra = kind_of(item).contra
        sums[contra] = sums.get(contra, 0) - item.amount
    array = transfer_array(rows)
    for contra, expected in sums.items():
        credited = int(array["amount"][array["credit_account_id"] == contra].sum())
        debited = int(array["amount"][array["debit_account_id"] == contra].sum())
        assert credited - debited == expected


@needs_data
@pytest.mark.data
async def test_a_wrong_balance_does_not_pass(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = data.read_transactions

    def tampered(where: Path) -> list[data.Row]:
        rows = [row for row in read(where) if row.day < date(1993, 2, 1)]
        first = next(place for place, row in enumerate(rows) if row.amount > 100)
        rows[first] = rows[first]._replace(amount=rows[first].amount - 100)  # what is posted misses a crown
        return rows

    monkeypatch.setattr(data, "read_transactions", tampered)
    monkeypatch.setattr(data, "ROUNDING_MAX", 200)  # let the order be found, so that the comparison must catch it
    with LocalServer(tmp_path) as server:
        async with Client(server.host, server.port) as client:
            values = figures(await send(client, directory, quiet=True))
    assert len(values["wrong"]) == 1
    assert "off by -100 haléř" in values["wrong"][0]
