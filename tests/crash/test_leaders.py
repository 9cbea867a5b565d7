"""Two servers on one PostgreSQL: a leader that was paused and replaced neither writes nor answers reads."""

from pathlib import Path

import pytest

from tests.crash.findings import Finding
from tests.crash.leaders import Leaders, cycles
from tests.crash.run import Options

pytestmark = pytest.mark.crash


def test_a_replaced_leader_is_silent(tmp_path: Path, template: Path) -> None:
    run = Leaders(Options(tmp_path / "run", seed=3, external=True, template=template), print)
    run.cycles = cycles(3, 4)
    summary = run.go()
    assert not len(summary.findings), summary.table()
    assert summary.rounds == 4
    assert summary.transfers > 200


def test_without_the_fence_it_is_found(tmp_path: Path, template: Path) -> None:
    until = frozenset({Finding.TWO_LEADERS})
    run = Leaders(Options(tmp_path / "run", seed=4, external=True, template=template, fault="no_fence", until=until))
    run.cycles = cycles(4, 4)
    summary = run.go()
    assert Finding.TWO_LEADERS in summary.findings.kinds, summary.table()
