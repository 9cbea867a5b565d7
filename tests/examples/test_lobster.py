"""A day of NASDAQ's orders: the book is the data's own after every event."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from examples.lobster import data
from examples.lobster.__main__ import main, send
from examples.lobster.data import BUY, DELETE, EXECUTE, EXECUTE_HIDDEN, NEW, REDUCE, SELL, Sample
from examples.lobster.plan import plan
from examples.lobster.replay import replay
from examples.local_server import LocalServer
from examples.market.online import NotFreshError
from examples.market.plan import Step
from server.client import Client

DIRECTORY = data.find()
needs_data = pytest.mark.skipif(DIRECTORY is None, reason="the LOBSTER data are not here; see TONGBAO_SHARED_DATA")

NO_BID, NO_ASK = (-9_999_999_999, 0), (9_999_999_999, 0)

Level = tuple[int, int]
Message = tuple[int, int, int, int, int]


@pytest.fixture
def directory() -> Path:
    assert DIRECTORY is not None
    return DIRECTORY


def sample(*rows: tuple[Message, list[Level], list[Level]]) -> Sample:
    """A sample of two levels: messages (type, order, size, price, side) with bids and asks after each."""
    type_, order, size, price, side = np.array([message for message, _, _ in rows], np.int64).T
    book = np.array([[bids, asks] for _, bids, asks in rows], np.int64)
    return Sample("TEST", 2, type_, order, size, price, side, book)


START: tuple[Message, list[Level], list[Level]] = (
    (EXECUTE_HIDDEN, 0, 1, 1000, BUY), [(900, 10), (800, 20)], [(1100, 10), (1200, 20)],
)  # fmt: skip


def test_levels_leave_the_view_and_come_back() -> None:
    planned = sample(
        START,
        ((NEW, 1, 5, 1000, BUY), [(1000, 5), (900, 10)], [(1100, 10), (1200, 20)]),  # 800 leaves
        ((REDUCE, 77, 4, 900, BUY), [(1000, 5), (900, 6)], [(1100, 10), (1200, 20)]),  # an order in a stand-in
        ((DELETE, 1, 5, 1000, BUY), [(900, 6), (800, 3)], [(1100, 10), (1200, 20)]),  # 17 canceled out of view
        ((DELETE, 78, 3, 800, BUY), [(900, 6), (600, 2)], [(1100, 10), (1200, 20)]),
        ((DELETE, 79, 2, 600, BUY), [(900, 6), NO_BID], [(1100, 10), (1200, 20)]),
        ((NEW, 2, 1, 500, BUY), [(900, 6), (500, 1)], [(1100, 10), (1200, 20)]),
        ((EXECUTE, 80, 10, 1100, SELL), [(900, 6), (500, 1)], [(1200, 20), NO_ASK]),
    )
    commands = plan(planned)
    assert commands.counts["levels taken out when they came back into view"] == 1
    assert commands.counts["stand-ins of levels that came into view"] == 2
    assert commands.counts["messages about an order in a stand-in"] == 4
    report = replay(planned, commands)
    assert (report.events, report.mismatches, report.trades, report.shares, report.wrong) == (8, 0, 1, 10, [])


def test_an_execution_out_of_turn_keeps_the_order_of_the_data() -> None:
    rows = [
        START,
        ((NEW, 1, 5, 1000, SELL), [(900, 10), (800, 20)], [(1000, 5), (1100, 10)]),
        ((NEW, 2, 6, 1000, SELL), [(900, 10), (800, 20)], [(1000, 11), (1100, 10)]),
        ((NEW, 3, 7, 1000, SELL), [(900, 10), (800, 20)], [(1000, 18), (1100, 10)]),
        ((EXECUTE, 2, 4, 1000, SELL), [(900, 10), (800, 20)], [(1000, 14), (1100, 10)]),
        ((EXECUTE, 1, 5, 1000, SELL), [(900, 10), (800, 20)], [(1000, 9), (1100, 10)]),
        ((EXECUTE, 2, 2, 1000, SELL), [(900, 10), (800, 20)], [(1000, 7), (1100, 10)]),
        ((EXECUTE, 3, 7, 1000, SELL), [(900, 10), (800, 20)], [(1100, 10), (1200, 20)]),
    ]
    planned = sample(*rows)
    commands = plan(planned)
    assert commands.counts["executions out of turn"] == 1
    report = replay(planned, commands)
    assert (report.events, report.mismatches, report.trades, report.wrong) == (8, 0, 4, [])


def test_a_message_that_cannot_be_is_an_error() -> None:
    with pytest.raises(data.DataError, match="order 77: 11 is more than there is of it at 900"):
        plan(sample(START, ((DELETE, 77, 11, 900, BUY), [(900, 0), (800, 20)], [(1100, 10), (1200, 20)])))


@needs_data
@pytest.mark.data
@pytest.mark.parametrize(
    ("symbol", "levels", "events", "trades", "shares", "out_of_turn"),
    [
        ("AMZN", 5, 155_935, 8_974, 613_248, 35),
        ("AMZN", 1, 57_515, 8_974, 613_248, 8),
        ("AAPL", 1, 118_497, 23_658, 1_845_964, 25),
    ],
)
def test_the_book_is_the_exchanges_after_every_event(
    directory: Path, symbol: str, levels: int, events: int, trades: int, shares: int, out_of_turn: int
) -> None:
    day = data.read(directory, symbol, levels)
    commands = plan(day)
    report = replay(day, commands)
    assert (report.events, report.mismatches, report.wrong) == (events, 0, [])
    assert (report.trades, report.shares) == (trades, shares)
    assert trades == np.count_nonzero(day.type == EXECUTE)
    assert commands.counts["executions out of turn"] == out_of_turn


@needs_data
@pytest.mark.data
def test_a_wrong_book_or_maker_does_not_pass(directory: Path) -> None:
    morning = data.read(directory, "AMZN", 5).first(5_000)
    commands = plan(morning)
    report = replay(morning, commands)
    assert (report.events, report.mismatches, report.wrong) == (5_000, 0, [])
    book = morning.book.copy()
    book[3_000, SELL, 4, 1] += 1
    report = replay(replace(morning, book=book), commands)
    assert report.mismatches == 1
    assert report.wrong[0].startswith("event 3000: the book is ")
    # The executions are said to hit the order before the one that they must hit.
    for taker, maker in list(commands.makers.items())[100:]:
        commands.makers[taker] = maker - 1
    report = replay(morning, commands)
    assert len(report.wrong) == 20
    assert all("is not the execution in the data" in words for words in report.wrong)
    # One cancel is left out: from then on the book is another one.
    commands = plan(morning)
    place = commands.step.index(Step.CANCEL, 2_000)
    for column in (commands.step, commands.client, commands.side, commands.price, commands.quantity):
        del column[place]
    assert replay(morning, commands).mismatches > 0


def test_the_command_ends_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "after every event" in capsys.readouterr().out
    assert main([str(tmp_path)]) == 2
    assert main([str(tmp_path), "--sample", "AMZN-2"]) == 2
    assert main([str(tmp_path), "--connect", "here", "--sample", "AMZN-1", "--sample", "AMZN-5"]) == 2
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["lobster"] * 3


@needs_data
@pytest.mark.data
async def test_a_running_server_does_the_same(directory: Path, tmp_path: Path) -> None:
    morning = data.read(directory, "AMZN", 5).first(3_000)
    with LocalServer(tmp_path, "--queue-delay-ms-max", "30000") as server:
        async with Client(server.host, server.port) as client:
            values = await send(client, morning, quiet=True)
            with pytest.raises(NotFreshError):
                await send(client, morning, quiet=True)
    assert (values["events"], values["mismatches"], values["wrong"]) == (3_000, 0, [])
    assert values["trades"] == values["executions"] == np.count_nonzero(morning.type == EXECUTE)
    assert values["transfers"]["trade_cash"][0] == values["trades"]


@needs_data
@pytest.mark.data
async def test_a_wrong_book_does_not_pass_through_a_server(directory: Path, tmp_path: Path) -> None:
    morning = data.read(directory, "AMZN", 1).first(1_000)
    morning.book[700, BUY, 0, 1] += 1  # no level that comes into view, so that the plan stays the same
    with LocalServer(tmp_path, "--queue-delay-ms-max", "30000") as server:
        async with Client(server.host, server.port) as client:
            values = await send(client, morning, quiet=True)
    assert values["mismatches"] == 1
    assert values["wrong"][0].startswith("event 700: ")


@needs_data
@pytest.mark.data
@pytest.mark.long
@pytest.mark.parametrize("name", ["AMZN-5", "AMZN-1", "AAPL-1"])
def test_whole_days_through_a_server(directory: Path, name: str) -> None:
    assert main([str(directory), "--sample", name]) == 0
