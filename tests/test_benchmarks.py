"""What the benchmarks' figures rest on; the benchmarks themselves assert their results when they run."""

import inspect
from typing import Any

import pytest

from benchmarks import unlogged_server
from benchmarks.figures import Figure, middle
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
