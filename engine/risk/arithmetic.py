"""Whole numbers of 64 bits whose arithmetic fails instead of wrapping: what own checks calculate with.

Plain Python, compiled with each check. Numbers are ± (2^63 - 1); a result beyond raises OverflowError, a division by
zero ZeroDivisionError, compiled or not.
"""

from collections.abc import Callable

MOST = 2**63 - 1
HALF = 2**31
BEYOND = "the result does not fit into 64 bits"


def add(a: int, b: int) -> int:
    """`a + b`."""
    if (b > 0 and a > MOST - b) or (b < 0 and a < -MOST - b):
        raise OverflowError(BEYOND)
    return a + b


def negate(a: int) -> int:
    """`-a`."""
    if a < -MOST:
        raise OverflowError(BEYOND)
    return -a


def subtract(a: int, b: int) -> int:
    """`a - b`."""
    return add(a, negate(b))


def absolute(a: int) -> int:
    """`abs(a)`."""
    return a if a >= 0 else negate(a)


def multiply(a: int, b: int) -> int:
    """`a * b`."""
    if -HALF <= a <= HALF and -HALF <= b <= HALF:
        return a * b
    if b != 0 and absolute(a) > MOST // absolute(b):
        raise OverflowError(BEYOND)
    return a * b


def divide(a: int, b: int) -> int:
    """`a // b`."""
    if b == 0:
        raise ZeroDivisionError("division by zero")
    return negate(a) if b == -1 else a // b


def remainder(a: int, b: int) -> int:
    """`a % b`."""
    if b == 0:
        raise ZeroDivisionError("division by zero")
    return 0 if b == -1 else a % b


FUNCTIONS: dict[str, Callable[..., int]] = {
    "add": add,
    "negate": negate,
    "subtract": subtract,
    "absolute": absolute,
    "multiply": multiply,
    "divide": divide,
    "remainder": remainder,
}
"""By the names that rebuilt checks call them by; in an order in which each knows only those before it."""
