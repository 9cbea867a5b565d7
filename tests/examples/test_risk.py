"""The example of own checks: it runs, and each of its checks refuses what it should."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engine._core.risk_records import EXPOSURE, LIMITS, RISK_ORDER
from engine.risk import ACCEPT, Check, forget_checks, load_checks
from examples.risk.__main__ import CHECKS, main


@pytest.fixture
def checks() -> Iterator[dict[str, Check]]:
    yield {each.name: each for each in load_checks([CHECKS])}
    forget_checks()


def asked(
    check: Check,
    order: dict[str, int] | None = None,
    limits: dict[str, int] | None = None,
    exposure: dict[str, int] | None = None,
) -> int:
    """Ask a check, un-jitted."""
    records: list[Any] = []
    for dtype, values in ((RISK_ORDER, order), (LIMITS, limits), (EXPOSURE, exposure)):
        record = np.zeros(1, dtype)
        for name, value in (values or {}).items():
            record[name] = value
        records.append(record[0])
    return check(*records)


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    assert capsys.readouterr().out.splitlines() == [
        "a small order before there is a price: new",
        "a large order before there is a price: refused by large_orders_stay_near: no_price_yet (1001)",
        "a sell that makes the price: filled",
        "a large buy 3 % away: refused by large_orders_stay_near: large_and_away (1002)",
        "a large buy 1 % away: new",
    ]


@pytest.mark.parametrize(
    ("value", "mark", "price", "verdict"),
    [
        (999_999, 0, 100, ACCEPT),
        (1_000_000, 0, 100, 1),
        (1_000_000, 1_000, 1_020, ACCEPT),
        (1_000_000, 1_000, 1_021, 2),
        (1_000_000, 1_000, 979, 2),
    ],
)
def test_large_orders(checks: dict[str, Check], value: int, mark: int, price: int, verdict: int) -> None:
    order = {"value": value, "mark_price": mark, "price": price}
    assert asked(checks["large_orders_stay_near"], order) == verdict


@pytest.mark.parametrize(
    ("side", "kind", "realised", "verdict"),
    [(1, 1, -501, 1), (1, 1, -500, ACCEPT), (0, 1, -501, ACCEPT), (1, 0, -501, ACCEPT)],
)
def test_panic(checks: dict[str, Check], side: int, kind: int, realised: int, verdict: int) -> None:
    order, limits = {"side": side, "type": kind}, {"daily_loss": 1_000}
    assert asked(checks["no_panic"], order, limits, {"realised": realised}) == verdict


@pytest.mark.parametrize(("messages", "trades", "verdict"), [(100, 0, ACCEPT), (101, 20, 1), (101, 21, ACCEPT)])
def test_patience(checks: dict[str, Check], messages: int, trades: int, verdict: int) -> None:
    assert asked(checks["patient"], exposure={"messages": messages, "trades": trades}) == verdict
