"""The generator against a real ledger in a thread, and against servers that answer badly."""

import re

import pytest

from loadtest.generator import run
from loadtest.histogram import Latencies
from loadtest.loop import LoadError, Loop
from loadtest.workload import Shape, Workload
from tests.loadtest.double import Alter, serving

WORKLOAD = Workload(seed=3, accounts=200, draws=1 << 10)


@pytest.mark.parametrize(
    ("connections", "depth", "items", "count"), [(1, 1, 1, 50), (3, 7, 1, 1_000), (2, 3, 1_000, 12), (5, 64, 2, 2_003)]
)
def test_closed_loop_sends_each_request_once(connections: int, depth: int, items: int, count: int) -> None:
    with serving() as (port, engine):
        result = run(
            WORKLOAD, port=port, connections=connections, depth=depth, items=items, count=count, warm_up=0, seconds=60
        )
        assert engine.transfers == count * items
    assert result["ok"]
    assert result["requests"] == result["requests_all"] == count
    assert result["statuses"] == {"created": count * items}
    assert result["latency_us"]["count"] == count
    assert sum(second["requests"] for second in result["time_line"]) == count
    assert 0 < result["latency_us"]["p50"] <= result["latency_us"]["p99"] <= result["latency_us"]["max"]


@pytest.mark.parametrize("shape", ["two_phase", "linked"])
def test_items_that_belong_together(shape: Shape) -> None:
    workload = Workload(seed=3, accounts=200, draws=1 << 10, shape=shape)
    items = 2 if shape == "linked" else 1
    with serving() as (port, engine):
        result = run(workload, port=port, connections=3, depth=5, items=items, count=3_000, warm_up=0)
        assert engine.transfers == 3_000 * items
        assert engine.pending == 0
    assert result["ok"]


def test_open_loop_keeps_its_schedule() -> None:
    with serving() as (port, engine):
        result = run(WORKLOAD, port=port, connections=4, rate=2_000, count=1_000, warm_up=0.1, seconds=60)
        assert engine.transfers == 1_000
    assert result["ok"]
    assert result["requests"] == pytest.approx(800, abs=2)
    assert result["seconds"] == pytest.approx(0.4, abs=0.2)
    assert result["send_lag_us"]["count"] == result["requests"]


@pytest.mark.parametrize("rate", [100, 2_000])
def test_open_loop_sends_when_it_is_due_and_not_when_a_reply_wakes_it(rate: int) -> None:
    """With nothing in flight nobody but its own timer tells the loop that time has come."""
    with serving() as (port, _):
        result = run(WORKLOAD, port=port, connections=4, rate=rate, seconds=1, warm_up=0.1)
    assert result["ok"]
    assert result["send_lag_us"]["p50"] < 15_000  # waiting for replies would make it 50 ms
    assert result["latency_us"]["p50"] < 20_000


def test_a_stalled_server_shows_in_every_request_that_was_due_meanwhile() -> None:
    stalled = []

    def stall(data: bytes, piece: int) -> bytes:
        if piece == 3 and not stalled:
            stalled.append(True)
            import time

            time.sleep(0.3)
        return data

    with serving(stall) as (port, _):
        result = run(WORKLOAD, port=port, connections=1, rate=1_000, count=400, warm_up=0, seconds=60)
    # A closed loop would see one slow reply of 400; by the schedule some 300 were due while the server slept.
    assert result["latency_us"]["p50"] > 1_000
    assert result["latency_us"]["max"] > 290_000


@pytest.mark.parametrize("rate", [0, 5_000])
def test_a_run_can_be_stopped_early(rate: int) -> None:
    def look(loop: Loop) -> None:
        if not loop.preparing and loop.elapsed > 0.4:
            loop.stop()

    with serving() as (port, engine):
        result = run(WORKLOAD, port=port, connections=2, depth=2, rate=rate, seconds=60, warm_up=0.2, look=look)
        assert engine.transfers == result["requests_all"] > result["requests"] > 0
    assert result["ok"]
    assert result["latency_us"]["count"] == result["requests"]
    assert 0.1 < result["seconds"] < 2
    if rate:
        assert result["requests_per_second"] == pytest.approx(rate, rel=0.1)


def test_time_ends_a_run() -> None:
    with serving() as (port, engine):
        result = run(WORKLOAD, port=port, connections=2, depth=2, seconds=0.5, warm_up=0.2)
        assert engine.transfers == result["requests_all"] > result["requests"] > 0
    assert 0 < result["seconds"] <= 0.3


def test_a_status_that_is_not_allowed_fails_the_run() -> None:
    with serving() as (port, _):
        assert run(WORKLOAD, port=port, connections=2, depth=2, count=100, warm_up=0)["ok"]
        again = run(WORKLOAD, port=port, connections=2, depth=2, count=110, warm_up=0)
        assert not again["ok"]
        assert again["statuses"] == {"exists": 100, "created": 10}
        assert again["requests_unexpected"] == 100
        assert '"status":"exists"' in again["kept"][0]


def test_errors_are_counted_by_code() -> None:
    def busy(data: bytes, piece: int) -> bytes:
        if piece % 2 == 0 or b'"id":0,' in data:
            return data
        return re.sub(rb'"result":.*?\]', b'"error":{"code":-32003,"message":"busy"}', data).replace(b',"seq":1', b"")

    with serving(busy) as (port, _):
        result = run(WORKLOAD, port=port, connections=1, depth=1, count=100, warm_up=0)
    assert not result["ok"]
    assert result["errors"] == {"-32003": result["requests_failed"]}
    assert 40 <= result["requests_failed"] <= 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.replace(b'{"id":5,', b'{"id":6,'), "not the reply that was due"),
        (lambda data: re.sub(rb'("id":5,.*?"timestamp":)\d+', rb"\g<1>1", data), "not the reply that was due"),
        (lambda data: data.replace(b'"id":5,"result":[', b'"id":5,"result":[{},'), "not the reply that was due"),
        (lambda data: data.replace(b'"seq":1}', b'"seq":1]') if b'"id":5,' in data else data, "not the reply"),
        (lambda data: b"" if b'"id":5,' in data else data, "the server closed a connection"),
    ],
    ids=["wrong id", "time runs backwards", "too many results", "not JSON", "closed"],
)
def test_nonsense_stops_the_run(change: object, message: str) -> None:
    def alter(data: bytes, _: int) -> bytes:
        altered = change(data)  # type: ignore[operator]
        assert isinstance(altered, bytes)
        return altered

    checked: Alter = alter
    with serving(checked) as (port, _), pytest.raises(LoadError, match=message):
        run(WORKLOAD, port=port, connections=1, depth=3, count=100, warm_up=0)


def test_percentiles_have_three_digits() -> None:
    latencies = Latencies()
    for value in range(1, 100_001):
        latencies.record(value * 1_000)
    summary = latencies.summary()
    for name, wanted in (("p50", 50_000), ("p90", 90_000), ("p99", 99_000), ("p99_9", 99_900), ("max", 100_000)):
        assert wanted <= summary[name] <= wanted * 1.001
    assert summary["mean"] == pytest.approx(50_000.5)
    assert summary["count"] == 100_000


def test_histogram_is_exact_at_the_bottom_and_clamped_at_the_top() -> None:
    latencies = Latencies()
    latencies.record(7)
    assert latencies.summary()["p50"] == 0.007
    latencies.record(2**50)
    assert latencies.summary()["max"] == 2**50 / 1e3
