"""What the benchmarks' figures rest on; the benchmarks themselves assert their results when they run."""

import inspect
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare, order_flow, unlogged_server
from benchmarks.figures import Figure, middle
from benchmarks.peers import __main__ as peers
from benchmarks.peers import order_books, processes, redis_lua
from benchmarks.peers.result import Result
from benchmarks.serving import free_port
from engine.matching.solo import OrderBook
from server.journal import Journal


def rounds(*values: float) -> list[Figure]:
    return [Figure("request/serial", value, "transfers/s", f"run {value:g}", {"p50": value}) for value in values]


def test_one_round_is_its_own_median() -> None:
    (figure,) = rounds(7)
    assert middle([figure]) is figure


@pytest.mark.parametrize("values", [(5, 1, 3), (3, 5, 1), (5, 3, 1, 4)])
def test_the_median_is_a_round_that_was_run(values: tuple[float, ...]) -> None:
    figure = middle(rounds(*values))
    assert figure.value == 3
    assert figure.note == f"1 to 5 in {len(values)} rounds; run 3"
    assert figure.details == {"p50": 3, "rounds": list(values)}


def parameters(function: Any) -> list[tuple[str, Any]]:
    return [(each.name, each.default) for each in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", ["append", "barrier"])
def test_the_log_that_forgets_is_called_as_the_real_one(name: str) -> None:
    theirs, ours = getattr(Journal, name), getattr(unlogged_server, f"_{name}")
    assert parameters(ours) == parameters(theirs)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)


def test_importing_the_log_that_forgets_plants_nothing() -> None:
    assert Journal.append is not unlogged_server._append
    assert Journal.barrier is not unlogged_server._barrier


# --- builds by turns ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ([1.0, 1.0, 1.0], [1.3, 1.2, 1.3], "slower"),
        ([1.0, 1.0, 1.0], [0.8, 0.8, 0.7], "faster"),
        ([1.0, 1.0, 1.0], [1.0, 1.5, 1.6], ""),  # once it was as quick: the machine was busy
        ([1.0, 2.0, 2.0], [1.2, 1.2, 1.3], ""),
        ([1.0, 1.0, 1.0], [1.05, 1.05, 1.09], ""),
    ],
)
def test_a_regression_is_what_both_ratios_show(old: list[float], new: list[float], verdict: str) -> None:
    case = compare.Case("x", old, new)
    assert (case.slower(1.1), case.faster(1.1)) == (verdict == "slower", verdict == "faster")


@pytest.mark.parametrize("arguments", [["--turns", "0"], ["--most", "1"]])
def test_a_comparison_needs_turns_and_room(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        compare.main(arguments)
    assert arguments[0] in capsys.readouterr().err


def test_the_suite_runs_on_the_build_that_is_asked_for(tmp_path: Path) -> None:
    found = compare.turn(compare.ROOT, tmp_path / "results.json", "test_replies")
    assert len(found) == 2
    assert all(0 < seconds < 1 for seconds in found.values())
    with pytest.raises(RuntimeError, match="was to be measured"):
        compare.turn(tmp_path, tmp_path / "results.json", "test_replies")


# --- peers ------------------------------------------------------------------------------------------------


def test_what_a_book_must_hold_is_what_the_flow_says() -> None:
    flow = order_flow.generate(3_000, 200, spread=10.0, reductions=False)
    trades, volume, resting = order_books.history(flow)[-1].tolist()
    book = OrderBook(len(flow.operations) + 1, len(flow.operations) + 1)
    book.run(flow.operations)
    assert (trades, resting) == (flow.trades, flow.resting)
    assert (book.trades, book.volume, book.resting, book.trade_hash) == (trades, volume, resting, flow.trade_hash)
    assert not (flow.operations["kind"] == order_flow.REDUCE).any()


def test_processes_are_counted_with_those_they_started() -> None:
    work = "import time; t = time.process_time()\nwhile time.process_time() - t < 0.3: pass"
    wait = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]]); input()"
    with subprocess.Popen([sys.executable, "-c", wait, work], stdin=subprocess.PIPE) as process:
        until = time.monotonic() + 20
        while (spent := processes.cpu_seconds(processes.family(process.pid))) < 0.3:
            assert time.monotonic() < until, spent
            time.sleep(0.02)
        assert process.pid in processes.family(os.getpid())
        assert 3 < processes.memory_mib([process.pid]) < 200
        process.communicate(b"\n")
    assert processes.cpu_seconds([process.pid]) == 0, "it is gone"


@pytest.mark.skipif(bool(redis_lua.missing()), reason="redis is not installed")
def test_redis_moves_money_and_refuses_what_it_must(tmp_path: Path) -> None:
    port = free_port()
    arguments = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
        client = redis_lua._connected(process, port)
        try:
            client.call("MSET", "a:1", 10, "a:2", 5)
            script = client.call("SCRIPT", "LOAD", redis_lua.SCRIPT)
            assert client.call("EVALSHA", script, 2, "a:1", "a:2", 7)
            with pytest.raises(RuntimeError, match="FUNDS"):
                client.call("EVALSHA", script, 2, "a:1", "a:2", 7)
            with pytest.raises(RuntimeError, match="NONE"):
                client.call("EVALSHA", script, 2, "a:1", "a:3", 1)
            assert client.call("EVALSHA", script, 2, "a:1", "a:1", 1) == "0"
            assert (client.call("GET", "a:1"), client.call("GET", "a:2")) == ("3", "12")
            assert client.call("XLEN", "transfers") == "1"
        finally:
            client.close()
            process.terminate()


def test_rows_of_peers_are_medians_and_say_their_range() -> None:
    rounds = [Result("orders", "Tongbao", "x", n * 1e6, n, None, 1 / n, None, "none") for n in (3.0, 1.0, 2.0)]
    row = peers.middle(rounds)
    assert (row.per_second, row.p50, row.p99) == (2e6, 2.0, None)
    text = peers.markdown([row])
    assert "| **Tongbao** | x | 2,000,000 (1,000,000–3,000,000) | 2 µs | – | 500 ns | – | none |" in text
