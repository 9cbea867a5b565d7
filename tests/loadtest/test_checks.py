"""Thresholds: how they are written, and what they say."""

from dataclasses import dataclass

import pytest

from loadtest.checks import CheckError, bucket, judge, parse


@dataclass
class Figures:
    requests: int = 1_000
    errors: int = 3
    rps: float = 500.0
    items: float = 5_000.0
    mean: float = 4.0
    max: float = 90.0
    timed: int = 1_000

    def percentile(self, percent: float) -> float:
        return {50.0: 2.0, 99.0: 20.0, 99.9: 60.0}[percent]


MEASURED = {"": Figures(), "create_transfers": Figures(errors=0, rps=100.0), "idle": Figures(0, 0, timed=0, rps=0)}


@pytest.mark.parametrize(
    ("check", "ok"),
    [
        ("p99=20ms", True),
        ("p99=19.9ms", False),
        ("p99<=0.02s", True),
        ("p99>=20000us", True),
        ("p99>=20001us", False),
        ("p99.9=59ms", False),
        ("p50=2ms", True),
        ("mean=4ms", True),
        ("max<=89ms", False),
        ("errors=3", True),
        ("errors=2", False),
        ("create_transfers:errors=0", True),
        ("error_rate=0.3%", True),
        ("error_rate<=0.29%", False),
        ("rps>=500", True),
        ("rps>=501", False),
        ("rps<=500", True),
        ("create_transfers:rps>=101", False),
        ("items>=5000", True),
        ("requests>=1001", False),
        ("cancel_orders:p99=1s", False),
        ("idle:p99=1s", False),
        ("idle:errors=0", False),
        ("idle:requests>=1", False),
    ],
)
def test_verdicts(check: str, ok: bool) -> None:
    (verdict,) = judge([check], MEASURED)
    assert verdict.ok is ok
    assert verdict.found


def test_a_verdict_says_what_was_found() -> None:
    found = [verdict.found for verdict in judge(["p99=5ms", "errors=0", "nobody:p99=1s"], MEASURED)]
    assert found == ["20 ms", "3", "there were no such requests, but create_transfers, idle"]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("p99", "is not like"),
        ("p99=20", "needs a unit of time"),
        ("p99<20ms", "is not like"),
        ("p100=20ms", "is not like"),
        ("p99=20m", "is not like"),
        ("errors=3ms", "errors has no unit ms"),
        ("rps=500", "write rps>=500"),
        ("latency=3ms", "is not like"),
        ("errors=-1", "is not like"),
        ("", "is not like"),
    ],
)
def test_what_cannot_be_read_is_refused(check: str, message: str) -> None:
    with pytest.raises(CheckError, match=f"^check: .*{message}"):
        parse(check)


def test_only_errors_of_all_requests_rule_on_the_exit_code() -> None:
    assert parse("errors<=5").rules_on_errors
    assert parse("error_rate=1%").rules_on_errors
    assert not parse("create_transfers:errors=0").rules_on_errors
    assert not parse("p99=1s").rules_on_errors


def test_buckets_keep_three_digits_down_to_a_microsecond() -> None:
    for value, wanted in ((0.12345, 0.123), (1.23456, 1.23), (12.3456, 12.3), (123.456, 123), (1234.5, 1230), (0, 0)):
        assert bucket(value) == wanted
    assert bucket(0.0004) == 0.0
    buckets = {bucket(value / 1_000) for value in range(1, 1_000_000, 7)}
    assert len(buckets) < 4_000
