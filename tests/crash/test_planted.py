"""The crash test can fail: each planted fault is found, and called by its right name, within a few kills."""

from pathlib import Path

import pytest

from tests.crash.findings import Finding
from tests.crash.nemesis import Moment, Round, Strike, Target
from tests.crash.run import Options, run

pytestmark = pytest.mark.crash

KILLS_MAX = 20
COMMIT = Strike(Target.BOTH, Moment.COMMIT, 0.0)
SERVER = Strike(Target.SERVER, Moment.LOAD, 0.0)


@pytest.mark.parametrize(
    ("fault", "strike", "rate", "kind"),
    [
        ("reply_before_commit", COMMIT, 350.0, Finding.LOST),
        ("read_uncommitted", COMMIT, 350.0, Finding.DIRTY_READ),
        ("forget_ids", SERVER, 350.0, Finding.DOUBLED),
        # Little load: the kill finds the last batch answered.
        ("forget_last_row", SERVER, 60.0, Finding.LOST),
    ],
)
def test_a_planted_fault_is_found(
    tmp_path: Path, template: Path, fault: str, strike: Strike, rate: float, kind: Finding
) -> None:
    options = Options(
        tmp_path / "run",
        seed=20,
        rate=rate,
        desks=0,
        template=template,
        fault=fault,
        until=frozenset({kind}),
        rounds=(Round(0.3, strike),) * KILLS_MAX,
    )
    _must_find(options)


@pytest.mark.parametrize(
    ("fault", "strike", "kinds"),
    [
        ("reply_before_commit", COMMIT, {Finding.LOST}),
        # Of a kill before the commit nothing is left; without one, the execution was told before its reply.
        ("execution_before_commit", COMMIT, {Finding.DIRTY_READ, Finding.STREAM}),
        ("forget_orders", SERVER, {Finding.DOUBLED}),
        ("leave_out_an_asset_leg", SERVER, {Finding.BALANCE}),
        ("lose_priority", SERVER, {Finding.ALTERED}),
        ("cancel_not_applied", SERVER, {Finding.PHANTOM}),
        ("skip_at_page_border", SERVER, {Finding.STREAM}),
        ("keep_orders_of_sessions", SERVER, {Finding.PHANTOM}),
    ],
)
def test_a_planted_fault_about_orders_is_found(
    tmp_path: Path, template: Path, fault: str, strike: Strike, kinds: set[Finding]
) -> None:
    """Desks alone, so that nobody else can find it."""
    options = Options(
        tmp_path / "run",
        seed=21,
        clients=0,
        readers=0,
        desks=2,
        template=template,
        fault=fault,
        until=frozenset(kinds),
        rounds=(Round(0.3, strike),) * KILLS_MAX,
    )
    _must_find(options)


def _must_find(options: Options) -> None:
    summary = run(options)
    assert options.until & summary.findings.kinds, summary.table()
    assert Finding.STUCK not in summary.findings.kinds, summary.table()
