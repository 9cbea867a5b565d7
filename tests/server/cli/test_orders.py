"""The commands about orders against a real server."""

import pytest

from server.cli.common import Exit
from server.client import Account, BlockingClient, Order, Transfer, uuid7
from tests.server.cli.conftest import LocalServer, Tongbao


@pytest.fixture(scope="module")
def market(server: LocalServer) -> LocalServer:
    with BlockingClient("127.0.0.1", server.port) as client:
        ids = (900_041, 900_042, 900_043)
        client.create_accounts([Account(n, 156, 1) for n in ids] + [Account(n + 10, 7, 1) for n in ids])
        client.create_transfers([Transfer(uuid7(), ids[0], n, 10**9, 156, 1) for n in ids[1:]])
        client.create_transfers([Transfer(uuid7(), ids[0] + 10, n + 10, 10**9, 7, 1) for n in ids[1:]])
        terms = {"base_ledger": 7, "quote_ledger": 156, "tick_size": 1, "lot_size": 1, "reference_price": 100}
        client.create_instruments([{"instrument": name} | terms for name in ("CLI-A", "CLI-B")])
        client.create_trading_accounts([{"id": n - 900_000, "accounts": {"156": n, "7": n + 10}} for n in ids[1:]])
        orders = [
            Order(uuid7(), 42, "CLI-A", side, "limit", quantity, price)
            for side, quantity, price in (("buy", 5, 99), ("buy", 7, 98), ("sell", 3, 101))
        ]
        client.submit_orders(orders)
        client.submit_orders([Order(uuid7(), 43, "CLI-A", "buy", "limit", 2, 101)])
    return server


def test_orders_book_and_trades(dev: Tongbao, market: LocalServer) -> None:
    listed = dev("orders", "--account", 42, "--open", "--json").json
    assert [(row["side"], row["price"], row["leaves_quantity"]) for row in listed] == [
        ("buy", 99, 5), ("buy", 98, 7), ("sell", 101, 1),
    ]  # fmt: skip
    assert "leaves_quantity" in dev("orders", "--instrument", "CLI-A", "--newest", "--limit", 2).out
    assert dev("orders").code == Exit.USAGE
    book = dev("book", "CLI-A", "--depth", 1, "--json").json
    assert (book["bids"], book["asks"], book["last_price"]) == ([[99, 5, 1]], [[101, 1, 1]], 101)
    table = dev("book", "CLI-A").out
    assert "CLI-A  continuous  last 101" in table
    rows = [line.split() for line in table.splitlines()]
    assert [row for row in rows if row and row[0].isdigit()] == [["101", "1", "1"], ["1", "5", "99"], ["1", "7", "98"]]
    [trade] = dev("trades", "--instrument", "CLI-A", "--json").json
    assert (trade["price"], trade["quantity"], trade["buy_account_id"]) == (101, 2, 43)
    assert dev("book", "NOPE").code == Exit.REQUEST_REFUSED


def test_sessions_are_set_and_driven(dev: Tongbao, market: LocalServer) -> None:
    assert dev("session", "CLI-B", "auction", "--no-cancels").out == "done\n"
    with BlockingClient("127.0.0.1", market.port) as client:
        client.submit_orders(
            [Order(uuid7(), 42, "CLI-B", "buy", "limit", 5, 101), Order(uuid7(), 43, "CLI-B", "sell", "limit", 4, 99)]
        )
    assert dev("session", "CLI-B", "closed").out == "done, uncrossed 4 at 100\n"
    unknown = dev("session", "NOPE", "closed", "--json")
    assert (unknown.code, unknown.json["reason"]) == (Exit.ITEM_REFUSED, "unknown_instrument")
    assert dev("session", "CLI-B", "open").code != 0
    assert dev("sessions", "crypto-spot", "CLI-B", "--once").out == "CLI-B: closed -> continuous\n"
    assert dev("sessions", "crypto-spot", "CLI-B", "--once").out == ""
    dev("session", "CLI-B", "halted")
    stays = dev("sessions", "crypto-spot", "CLI-B", "--once")
    assert (stays.out, stays.err) == ("", "CLI-B: is halted and stays so\n")
    assert dev("sessions", "crypto-spot", "CLI-B", "--once", "--resume").out == "CLI-B: halted -> continuous\n"
    assert dev("sessions", "bonds", "CLI-B", "--once").code == Exit.USAGE


def test_the_end_of_a_day(dev: Tongbao, market: LocalServer) -> None:
    assert dev("end-of-day", 20261124, "--price", "CLI-A=102").out == "done\n"
    again = dev("end-of-day", 20261124, "--json")
    assert (again.code, again.json["reason"]) == (Exit.ITEM_REFUSED, "date_not_later")
    assert dev("end-of-day", 20261125, "--price", "CLI-A").code == Exit.USAGE
    assert dev("end-of-day", 20261331).code == Exit.REQUEST_REFUSED
    assert dev("orders", "--account", 42, "--open", "--json").json == []
