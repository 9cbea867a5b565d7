"""The orders of the workload: pure, and complete. (That a server refuses none of them: locust/test_runs.py.)"""

from collections import Counter

import pytest

from loadtest.market import FLOW_BLOCK, QUOTES_BLOCK, TRADER_FIRST, Command, Market
from loadtest.stretches import USERS_MAX

MARKET = Market(seed=11, instruments=3, traders=5)
ACCOUNT = MARKET.trading_account(0)


def block(kind: str, number: int, size: int) -> list[Command]:
    return [getattr(MARKET, kind)(size * number + index, ACCOUNT) for index in range(size)]


@pytest.mark.parametrize(("kind", "size"), [("flow", FLOW_BLOCK), ("quotes", QUOTES_BLOCK)])
def test_a_block_ends_every_order_that_it_enters(kind: str, size: int) -> None:
    for number in range(20):
        entered: dict[str, str] = {}
        for command in block(kind, number, size):
            identifier = command.item["client_order_id"]
            assert command.item["account_id"] == ACCOUNT
            if command.method == "submit_orders":
                assert identifier not in entered
                if command.item.get("time_in_force") != "ioc":
                    entered[identifier] = command.item["side"]
                continue
            assert identifier in entered
            if command.method == "cancel_orders":
                del entered[identifier]
            else:
                assert (command.item["price"] < 10_000) == (entered[identifier] == "buy")
        assert not entered


def test_the_mix_of_the_flow() -> None:
    methods = Counter(command.method for number in range(10) for command in block("flow", number, FLOW_BLOCK))
    assert methods == {"submit_orders": 310, "cancel_orders": 290, "replace_orders": 40}


def test_orders_are_functions_of_seed_and_number() -> None:
    again = Market(seed=11, instruments=3, traders=5)
    other = Market(seed=12, instruments=3, traders=5)
    items = [MARKET.flow(number, ACCOUNT) for number in range(5_000)]
    assert items == [again.flow(number, ACCOUNT) for number in range(5_000)]
    assert items != [other.flow(number, ACCOUNT) for number in range(5_000)]
    submitted = [one.item for one in items if one.method == "submit_orders"]
    assert len({item["client_order_id"] for item in submitted}) == len(submitted)
    assert {item["instrument"] for item in submitted} == {"LOAD01", "LOAD02", "LOAD03"}
    assert 0.4 < sum(item["side"] == "buy" for item in submitted) / len(submitted) < 0.6


def test_passive_orders_never_cross() -> None:
    for kind, size in (("flow", FLOW_BLOCK), ("quotes", QUOTES_BLOCK)):
        for number in range(20):
            for command in block(kind, number, size):
                if command.method == "submit_orders" and command.item.get("time_in_force") != "ioc":
                    assert (command.item["price"] < 10_000) == (command.item["side"] == "buy")


def test_set_up_does_not_depend_on_the_seed_nor_on_how_much_is_used() -> None:
    small, big = Market(seed=1, instruments=1, traders=2), Market(seed=2, instruments=16, traders=3)
    for part in ("accounts", "funding", "trading_accounts", "listed"):
        assert [one for one in getattr(small, part)() if one not in list(getattr(big, part)())] == []
    ids = [one["id"] for one in big.funding()]
    assert len(set(ids)) == len(ids) == 3 * 17


def test_first_users_of_processes_act_for_different_accounts() -> None:
    market = Market(traders=256)
    accounts = {market.trading_account(process * USERS_MAX) for process in range(8)}
    assert len(accounts) == 8
    assert {market.trading_account(user) for user in range(256)} == set(range(TRADER_FIRST, TRADER_FIRST + 256))


@pytest.mark.parametrize(
    ("values", "field"), [({"instruments": 17}, "instruments"), ({"traders": 0}, "traders"), ({"seed": -1}, "seed")]
)
def test_bad_values_are_refused(values: dict[str, int], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        Market(**values)
