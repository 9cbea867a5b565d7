"""Whatever bytes stand in order commands, the engine refuses or executes, and its books stay in order."""

import ctypes
import os
from collections import Counter
from random import Random

import pytest

from engine import InvariantError
from tests.engine import order_bytes


def test_worlds_of_bytes() -> None:
    """New seeds every time; a failure names its own."""
    seen: Counter[str] = Counter()
    for seed in range(first := Random().getrandbits(40), first + 40):
        try:
            seen += order_bytes.run(seed, 60)
        except Exception as error:
            raise AssertionError(f"world {seed} of tests.engine.order_bytes: {error!r}") from error
    # Worlds in which nothing trades would prove little.
    for what in ("new", "filled", "canceled", "rejected (overflow)", "refused by the interface", "read"):
        assert seen[what] > 0, what


@pytest.mark.parametrize("member", ["held", "leaves", "visible"])
def test_a_damaged_order_is_found(member: str) -> None:
    world = order_bytes.Bytes("damaged", wild=0.0)
    while not world.engine.open_orders:
        world.step()
    world.check()
    orders = world.engine.array("orders")
    slot = int(orders["place"].argmax())
    at = orders.ctypes.data + slot * orders.dtype.itemsize + orders.dtype.fields[member][1]
    ctypes.c_uint64.from_address(at).value += 1
    with pytest.raises((InvariantError, AssertionError)):
        world.check()


@pytest.mark.long
def test_many_worlds_of_bytes() -> None:
    for seed in range(int(os.environ.get("TONGBAO_WORLDS", "3000"))):
        order_bytes.run(seed, 60)
