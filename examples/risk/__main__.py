"""Start a server with the checks beside this file, trade a little, and show what they refuse.

python -m examples.risk
"""

import sys
from pathlib import Path

from examples.local_server import LocalServer
from server.client import Account, BlockingClient, Order, OrderResult, Transfer, uuid7

CHECKS = Path(__file__).with_name("checks.py")
CASH, SHARES = 156, 700
BANK, VAULT = 1, 2


def set_up(client: BlockingClient) -> None:
    """Two traders with money and shares, and a share that is traded."""
    accounts = [Account(BANK, CASH, 1), Account(VAULT, SHARES, 1)]
    accounts += [Account(id_, ledger, 1) for id_, ledger in ((10, CASH), (11, SHARES), (20, CASH), (21, SHARES))]
    client.create_accounts(accounts)
    moves = [(BANK, 10, 50_000_000, CASH), (BANK, 20, 50_000_000, CASH)]
    moves += [(VAULT, 11, 100_000, SHARES), (VAULT, 21, 100_000, SHARES)]
    client.create_transfers([Transfer(uuid7(), *move, 1) for move in moves])
    share = {"instrument": "600519", "base_ledger": SHARES, "quote_ledger": CASH, "tick_size": 1, "lot_size": 100}
    client.create_instruments([share])
    traders = ((1, 10, 11), (2, 20, 21))
    client.create_trading_accounts(
        [{"id": id_, "accounts": {str(CASH): cash, str(SHARES): shares}} for id_, cash, shares in traders]
    )
    client.set_limits([{"scope": "account", "id": 1, "daily_loss": 100_000}])


def order(trader: int, side: str, quantity: int, price: int) -> Order:
    """An order at a price."""
    return Order(uuid7(), trader, "600519", side, "limit", quantity, price)


def show(words: str, result: OrderResult) -> str:
    """One line about what became of an order."""
    if result.reason == "own_check":
        return f"{words}: refused by {result.check_name} ({result.check})"
    return f"{words}: {result.status}{', ' + result.reason if result.reason else ''}"


def main() -> int:
    """Run the example; return its exit code."""
    with (
        LocalServer(None, "--risk-checks", str(CHECKS)) as server,
        BlockingClient(server.host, server.port) as client,
    ):
        set_up(client)
        story: list[tuple[str, Order]] = [
            ("a small order before there is a price", order(1, "buy", 100, 1_500)),
            ("a large order before there is a price", order(1, "buy", 1_000, 1_500)),
            ("a sell that makes the price", order(2, "sell", 100, 1_500)),
            ("a large buy 3 % away", order(1, "buy", 1_000, 1_455)),
            ("a large buy 1 % away", order(1, "buy", 1_000, 1_485)),
        ]
        for words, each in story:
            print(show(words, client.submit_orders([each])[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
