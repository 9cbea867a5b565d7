import threading
import time
import uuid

import numpy as np
import pytest

from server.client import ids


def test_ids_are_version_7_and_hold_the_time() -> None:
    before = time.time_ns() // 10**6
    id_ = ids.uuid7()
    after = time.time_ns() // 10**6
    assert id_.version == 7
    assert id_.variant == uuid.RFC_4122
    assert before <= id_.int >> 80 <= after + 1


def test_ids_only_go_up_also_across_threads() -> None:
    made: list[list[uuid.UUID]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda m=m: m.extend(ids.uuid7() for _ in range(5000))) for m in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in made:
        assert one == sorted(one)
    assert len({id_ for one in made for id_ in one}) == 20_000
    # The 60 bits of time alone are never the same twice, so the order does not rest on the random part.
    assert len({(id_.int >> 76) for one in made for id_ in one}) > 1
    ticks = [(id_.int >> 80 << 12) | (id_.int >> 64 & 0xFFF) for one in made for id_ in one]
    assert len(set(ticks)) == 20_000


def test_arrays_and_single_ids_share_one_order() -> None:
    first = ids.uuid7()
    array = ids.uuid7_array(10_000)
    last = ids.uuid7()
    numbers = [low | high << 64 for low, high in array.tolist()]
    assert array.dtype == np.uint64
    assert [first.int, *numbers, last.int] == sorted([first.int, *numbers, last.int])
    assert {uuid.UUID(int=n).version for n in numbers} == {7}
    assert {uuid.UUID(int=n).variant for n in numbers} == {uuid.RFC_4122}


def test_a_clock_that_goes_back_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ids.uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    assert ids.uuid7() > first
