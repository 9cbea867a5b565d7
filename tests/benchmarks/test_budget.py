"""The budget by stage: arithmetic, and a real server under load."""

import json

import pytest

from benchmarks.profiling.__main__ import app
from benchmarks.profiling.budget import STAGES, Reading, spent
from server.metrics import Metrics


def reading(metrics: Metrics, cpu: float) -> Reading:
    return Reading.of(metrics.exposition().decode() + f"process_cpu_seconds_total {cpu}\n")


def test_what_was_spent_is_divided_by_messages() -> None:
    metrics = Metrics()
    metrics.requests |= {"write": 100, "read": 20}
    metrics.items = 100
    metrics.stage_seconds["parse"] = 5.0
    before = reading(metrics, 1.0)
    metrics.requests |= {"write": 300, "ping": 10}
    metrics.items += 2_000
    metrics.stage_seconds["parse"] += 100e-6
    metrics.stage_seconds["write"] += 300e-6
    metrics.apply_seconds.observe(500e-6)
    metrics.batch_requests.observe(105)
    metrics.batch_requests.observe(105)
    metrics.commit_seconds.observe(0.002)
    one = spent("a load", before, reading(metrics, 1.002), 0.5, database_cpu=0.004)
    assert (one.requests, one.items, one.items_per_second, one.items_per_batch) == (210, 2_000, 4_000, 1_000)
    assert one.stages == pytest.approx(
        {"parse": 50, "apply": 250, "log encode": 0, "append": 0, "reply encode": 0, "write": 150}
    )
    assert one.cpu == pytest.approx(1_000)
    assert one.rest == pytest.approx(550)
    assert one.database_cpu == pytest.approx(2_000)
    assert one.commit_us == pytest.approx(2_000)


def test_reads_alone_count_as_requests() -> None:
    metrics = Metrics()
    before = reading(metrics, 0.0)
    metrics.requests["read"] = 10
    one = spent("", before, reading(metrics, 1e-6), 1.0)
    assert (one.items, one.cpu) == (10, pytest.approx(100))
    with pytest.raises(ValueError, match="no request"):
        spent("", before, before, 1.0)


def test_a_real_server_fills_every_stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TONGBAO_POSTGRES_WAL_BYTES", str(64 << 20))  # a gigabyte would take seconds to write
    words = ["budget", "-l", "pipeline", "-t", "0.3", "--json"]
    assert app(words, exit_on_error=False, result_action="return_value") == 0
    one = json.loads(capsys.readouterr().out)
    assert list(one["stages"]) == [name for name, _, _ in STAGES]
    assert all(0 < nanoseconds < 1e7 for nanoseconds in one["stages"].values())
    assert one["requests"] > 100
    assert one["commit_us"] > 10
    assert one["cpu"] > 0
