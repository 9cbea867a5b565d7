"""Servers, PostgreSQL or both killed with -9 at random moments under load: nothing acknowledged is lost or doubled.

The short form, a part of `make test`; `make crash N=500 SEED=7` is the long one.
"""

import os
import time
from pathlib import Path

import pytest

from tests.crash.nemesis import schedule
from tests.crash.run import Options, Summary, run

pytestmark = pytest.mark.crash

KILLS = 15


def _seed() -> int:
    """Another one every day, unless one is asked for: a failure prints the seed that repeats it."""
    return int(os.environ.get("TONGBAO_CRASH_SEED", "") or time.time_ns() // 86_400_000_000_000)


def _check(summary: Summary) -> None:
    print(summary.table())
    assert not len(summary.findings), f"seed {summary.options.seed}\n{summary.table()}"
    # A run that has not done what it is for has proved nothing. (Orders that expire are too rare to be sure of a few.)
    assert summary.transfers > 1_000
    assert summary.order.reads > 50
    assert summary.books.resends_exist > 0
    assert summary.books.repeats_exist > 50
    assert summary.books.expired > 0
    assert summary.desks.orders > 500
    assert summary.trades > 200
    assert summary.desks.repeats_exist > 20
    assert summary.desks.told_again > 0
    assert summary.desks.told > summary.trades
    assert summary.desks.replayed > 1_000
    assert summary.desks.reads > 100
    for status in ("new", "filled", "partially_filled", "canceled", "rejected", "replaced", "done"):
        assert summary.desks.statuses.get(status, 0) > 0, status
    assert summary.rows > 100


def test_kills_under_load(tmp_path: Path, template: Path) -> None:
    summary = run(Options(tmp_path / "run", seed=_seed(), kills=KILLS, template=template), print)
    _check(summary)
    assert summary.kills >= KILLS


def test_the_seed_decides_the_schedule() -> None:
    assert schedule(7, 40) == schedule(7, 40)
    assert schedule(7, 40) != schedule(8, 40)
    assert schedule(7, 80)[: len(schedule(7, 40))] == schedule(7, 40)
    targets = {str(strike) for each in schedule(7, 400) for strike in (each.strike, *each.during_start)}
    assert len(targets) == 16, targets
