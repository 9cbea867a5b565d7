"""Users of all processes take numbers, and so ids, that never meet."""

from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest

from loadtest.requests import Requests
from loadtest.stretches import PROCESSES_MAX, STRETCH, USERS_MAX, drawn, stretch
from loadtest.workload import Workload

WORKLOAD = Workload(seed=2**62 + 5, accounts=500, draws=1 << 10)
CORNERS = [(0, 0), (0, 1), (0, USERS_MAX - 1), (1, 0), (7, 9), (PROCESSES_MAX - 1, USERS_MAX - 1)]


def test_stretches_do_not_meet() -> None:
    stretches = [stretch(process, user) for process, user in CORNERS]
    assert all(before.end <= after.first for before, after in pairwise(stretches))
    assert [one.number for one in stretches] == sorted({one.number for one in stretches})


@pytest.mark.parametrize("items", [1, 2, 1_000, 8_190])
def test_requests_stay_inside(items: int) -> None:
    for process, user in CORNERS:
        one = stretch(process, user)
        requests = one.requests(items)
        assert one.first <= requests.start * items < one.first + items
        assert requests[-1] * items + items <= one.end
        assert len(requests) >= STRETCH // items - 1


def test_what_comes_in_pairs_begins_with_its_first_half() -> None:
    for process, user in CORNERS:
        assert stretch(process, user).first % 2 == 0


def test_users_do_not_walk_in_step() -> None:
    """Users that begin at the same drawn pair of accounts would all move the same money at the same time."""
    starts = {stretch(0, user).first % WORKLOAD.draws for user in range(WORKLOAD.draws // 2)}
    assert len(starts) == WORKLOAD.draws // 2


def test_ids_of_all_users_are_unique() -> None:
    requests = Requests(WORKLOAD)
    ids = np.concatenate(
        [requests.transfers(stretch(process, user).first, 2_000)[["id_hi", "id_lo"]] for process, user in CORNERS]
    )
    assert len(np.unique(ids)) == len(CORNERS) * 2_000
    assert (ids["id_hi"] >> np.uint64(12) & np.uint64(15) == 7).all()


def test_an_item_by_itself_is_the_item_of_the_array() -> None:
    for process, user in CORNERS:
        first = stretch(process, user).first
        for index, record in enumerate(WORKLOAD.transfers(first, 50)):
            identifier, amount, _ = drawn(WORKLOAD.seed, first + index)
            assert identifier == UUID(int=int(record["id_hi"]) << 64 | int(record["id_lo"]))
            assert amount == record["amount"]


@pytest.mark.parametrize(
    ("process", "user", "field"), [(-1, 0, "process"), (PROCESSES_MAX, 0, "process"), (0, USERS_MAX, "user")]
)
def test_what_has_no_stretch_is_refused(process: int, user: int, field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        stretch(process, user)
