"""Own checks: good ones do the same compiled and not; bad ones are refused with a message that helps."""

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import risk
from engine._core.risk_records import EXPOSURE, FINDING, LIMITS, RISK_ORDER
from engine.risk import arithmetic, checks

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _no_other_checks() -> Iterator[None]:
    before = risk.registered()
    risk.forget_checks()
    yield
    risk.forget_checks()
    checks._registered.extend(before)


class Records:
    """An order, limits and exposure, and a check asked about them both ways."""

    def __init__(self, order: dict[str, int], limits: dict[str, int], exposure: dict[str, int]) -> None:
        self.arrays: list[Any] = [np.zeros(1, dtype) for dtype in (RISK_ORDER, LIMITS, EXPOSURE)]
        for array, values in zip(self.arrays, (order, limits, exposure), strict=True):
            for name, value in values.items():
                array[name] = value

    def plainly(self, check: risk.Check) -> int:
        """0 where it raises."""
        try:
            return check(*[array[0] for array in self.arrays])
        except (OverflowError, ZeroDivisionError):
            return 0

    def compiled(self, check: risk.Check) -> int:
        out = np.zeros(1, FINDING)
        function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 4)(check.address)
        said = function(*[array.ctypes.data for array in self.arrays], out.ctypes.data)
        assert out.tobytes() == bytes(FINDING.itemsize)
        return int(said)

    def ask(self, check: risk.Check) -> int:
        said = self.compiled(check)
        assert said == self.plainly(check)
        return said


def records(order: dict[str, int] | None = None, limits: dict[str, int] | None = None, **exposure: int) -> Records:
    return Records(order or {}, limits or {}, exposure)


# --- good ones ------------------------------------------------------------------------------------------

SECOND = 1_000_000_000
FACTORS = -3
ratio = 5


def test_everything_that_is_allowed() -> None:
    @risk.check(reasons={1: "odd", 2: "even", 999: "last"})
    def everything(order: Any, limits: Any, exposure: Any) -> int:
        """Uses all of the list."""
        total: int = 0
        for step in range(1, 10, 2):
            if step == 7:
                break
            if step == 3:
                continue
            total += step * ratio
        for _ in range(2):
            for again in range(FACTORS, 0):
                total -= again
        spread = abs(order["best_ask"] - order["best_bid"]) % SECOND
        most = max(total, spread, -order["quantity"]) if order["post_only"] else min(total, spread)
        flagged = exposure["programme"] & 1 or not order["futures"]
        if order["side"] == 0 and flagged and 0 < most <= limits["max_quantity"] != 7:
            return 1 if most // 2 * 2 != most else 2
        elif (most | 4) ^ 1 > 100:  # noqa: RET505
            return 999
        else:
            return risk.ACCEPT

    assert records().ask(everything) == risk.ACCEPT
    assert records({"best_ask": 9}, {"max_quantity": 100}).ask(everything) == 1
    assert records({"best_ask": 8}, {"max_quantity": 100}).ask(everything) == 2
    assert records({"post_only": 1, "best_ask": 500, "side": 1}).ask(everything) == 999
    assert everything.reasons == {1: "odd", 2: "even", 999: "last"}
    assert everything.place.startswith(__file__)


def test_a_power_of_constants_is_not_among_them() -> None:
    with pytest.raises(risk.CheckError, match="2 \\*\\* 3"):
        load("    return 1 if order['quantity'] > 2 ** 3 else risk.ACCEPT")


LARGE = 2**62


def overflowing(order: Any, limits: Any, exposure: Any) -> int:
    if order["quantity"] * order["price"] + order["value"] - order["old_value"] > LARGE:
        return 1
    return risk.ACCEPT


def dividing(order: Any, limits: Any, exposure: Any) -> int:
    if order["quantity"] // exposure["trades"] + order["price"] % exposure["messages"] > 10:
        return 1
    return risk.ACCEPT


@settings(deadline=None)
@given(*[st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63)])] * 4)
def test_arithmetic_fails_where_it_would_wrap(a: int, b: int, c: int, d: int) -> None:
    asked = records({"quantity": a, "price": b, "value": c, "old_value": d}, trades=c, messages=d)
    exact = a * b
    numbers = (exact, exact + c, exact + c - d, -d)
    fits = all(-(2**63) <= each <= 2**63 - 1 for each in numbers)
    said = asked.ask(OVERFLOWING)
    if all(abs(each) < 2**63 for each in (a, b, c, d, *numbers)):
        assert said == (1 if numbers[2] > LARGE else risk.ACCEPT)
    elif not fits:
        assert said == 0
    divided = asked.ask(DIVIDING)
    if c == 0 or d == 0:
        assert divided == 0
    elif all(abs(each) < 2**63 for each in (a, b, c, d, a // c + b % d)):
        assert divided == (1 if a // c + b % d > 10 else risk.ACCEPT)


OVERFLOWING = checks.read(overflowing, {1: "large"})
DIVIDING = checks.read(dividing, {1: "large"})

WHOLE = st.integers(-(2**63) + 1, 2**63 - 1) | st.sampled_from([0, 1, -1, 2**31 + 1, -(2**31), 2**63 - 1, -(2**63) + 1])


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("add", lambda a, b: a + b),
        ("subtract", lambda a, b: a - b),
        ("multiply", lambda a, b: a * b),
        ("divide", lambda a, b: a // b),
        ("remainder", lambda a, b: a % b),
    ],
)
@given(a=WHOLE, b=WHOLE)
def test_arithmetic_is_exact_or_fails(name: str, exact: Any, a: int, b: int) -> None:
    function = arithmetic.FUNCTIONS[name]
    if b == 0 and name in {"divide", "remainder"}:
        with pytest.raises(ZeroDivisionError):
            function(a, b)
    elif abs(exact(a, b)) < 2**63:
        assert function(a, b) == exact(a, b)
    else:
        with pytest.raises(OverflowError):
            function(a, b)


def test_a_failing_check_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert records().compiled(DIVIDING) == 0
    assert capfd.readouterr() == ("", "")


# --- bad ones ---------------------------------------------------------------------------------------------

HEAD = """\
import math
from engine import risk

LIMIT = 5
HALF = 0.5
HUGE = 2**63
NAMES = [1, 2]

@risk.check(reasons={1: "one", 2: "two"})
def bad(order, limits, exposure):
"""
FIRST = HEAD.count("\n") + 1

COUNT = 0


def load(body: str, head: str = HEAD, tmp_path: Path | None = None) -> tuple[risk.Check, ...]:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bad.py"
        path.write_text(head + body + "\n")
        return risk.load_checks([path])


ACCEPTS = "\n    return risk.ACCEPT"
BAD: list[tuple[str, int, str]] = [
    ("    return 3", 0, "returns `3` instead of risk.ACCEPT or one of its reasons: 1 (one), 2 (two)"),
    ("    return 0", 0, "returns `0` instead of"),
    ("    return True", 0, "returns `True` instead of"),
    ("    return", 0, "returns nothing; return risk.ACCEPT or one of its reasons"),
    ("    verdict = 1\n    return verdict", 1, "returns `verdict` instead of"),
    ("    return order['quantity']", 0, "returns `order['quantity']` instead of"),
    ("    return risk.REFUSE", 0, "returns `risk.REFUSE` instead of"),
    ("    if order['side'] == 0:\n        return 1", 0, "may end without a return"),
    ("    for i in range(3):\n        return 1", 0, "may end without a return"),
    ("    pass", 0, "may end without a return"),
    ("    x = 1.5" + ACCEPTS, 0, "1.5 is not a whole number of 64 bits"),
    ("    x = 'text'" + ACCEPTS, 0, "'text' is not a whole number"),
    ("    x = 9223372036854775808" + ACCEPTS, 0, "9223372036854775808 is not a whole number of 64 bits"),
    ("    x = None" + ACCEPTS, 0, "None is not a whole number"),
    ("    x = HALF" + ACCEPTS, 0, "HALF is 0.5, which is not a whole number of 64 bits"),
    ("    x = HUGE" + ACCEPTS, 0, "HUGE is 9223372036854775808, which is not a whole number of 64 bits"),
    ("    x = NAMES" + ACCEPTS, 0, "NAMES is [1, 2], which is not"),
    (
        "    x = nothing" + ACCEPTS,
        0,
        "there is no nothing; there are order, limits, exposure, x, LIMIT, and functions abs, max, min",
    ),
    ("    x = order['quantity'] / 2" + ACCEPTS, 0, "`order['quantity'] / 2` would not be a whole number; // is"),
    ("    x = 2 ** 3" + ACCEPTS, 0, "`2 ** 3` is not allowed; what is: whole numbers"),
    ("    x = order['quantity'] << 3" + ACCEPTS, 0, "`order['quantity'] << 3` is not allowed"),
    ("    x = ~order['quantity']" + ACCEPTS, 0, "is not allowed"),
    (
        "    x = order.quantity" + ACCEPTS,
        0,
        '`order.quantity`: only risk.ACCEPT has a dot; fields are read as order["time"]',
    ),
    ("    x = order['quanity']" + ACCEPTS, 0, "order has no field 'quanity'; it has time, account_id"),
    ("    x = order['reserved']" + ACCEPTS, 0, "order has no field 'reserved'"),
    ("    x = order[0]" + ACCEPTS, 0, "order has no field 0"),
    ("    x = order[LIMIT]" + ACCEPTS, 0, 'fields are read as order["time"], and nothing else has any'),
    ("    x = 1\n    y = x['time']" + ACCEPTS, 1, "`x['time']`: fields are read as"),
    ("    x = exposure['max_quantity']" + ACCEPTS, 0, "exposure has no field 'max_quantity'; it has open_orders"),
    ("    x = order" + ACCEPTS, 0, 'order is a record; its fields are read as order["time"]'),
    ("    order['price'] = 1" + ACCEPTS, 0, "only local names may be assigned to"),
    ("    order = 1" + ACCEPTS, 0, "order cannot be assigned to"),
    ("    max = 1" + ACCEPTS, 0, "max cannot be assigned to"),
    ("    add = 1" + ACCEPTS, 0, "add cannot be assigned to"),
    ("    x, y = 1, 2" + ACCEPTS, 0, "`x, y = (1, 2)`: only local names may be assigned to, one at a time"),
    ("    x = y = 2" + ACCEPTS, 0, "only local names may be assigned to, one at a time"),
    ("    del x" + ACCEPTS, 0, "only local names may be assigned to"),
    ("    global COUNT" + ACCEPTS, 0, "`global COUNT` is not allowed; what is: assignments to local names, if"),
    ("    import os" + ACCEPTS, 0, "`import os` is not allowed"),
    ("    print(1)" + ACCEPTS, 0, "`print(1)` is not allowed"),
    ("    x = math.floor(2)" + ACCEPTS, 0, "`math.floor(2)` cannot be called; what can: abs(a), max(a, b, …)"),
    ("    x = int(2)" + ACCEPTS, 0, "`int(2)` cannot be called"),
    ("    x = max(1)" + ACCEPTS, 0, "`max(1)` cannot be called"),
    ("    x = max(1, 2, key=3)" + ACCEPTS, 0, "cannot be called"),
    ("    x = min(*NAMES, 1)" + ACCEPTS, 0, "cannot be called"),
    ("    x = abs(1, 2)" + ACCEPTS, 0, "cannot be called"),
    ("    while order['side']:\n        pass" + ACCEPTS, 0, "`while order['side']:` is not allowed"),
    ("    raise ValueError" + ACCEPTS, 0, "`raise ValueError` is not allowed"),
    ("    assert order['side']" + ACCEPTS, 0, "`assert order['side']` is not allowed"),
    ("    try:\n        x = 1\n    finally:\n        pass" + ACCEPTS, 0, "`try:` is not allowed"),
    ("    with x:\n        pass" + ACCEPTS, 0, "`with x:` is not allowed"),
    ("    def inner(): pass" + ACCEPTS, 0, "`def inner():` is not allowed"),
    ("    x = lambda: 1" + ACCEPTS, 0, "is not allowed"),
    ("    x = [1]" + ACCEPTS, 0, "`[1]` is not allowed"),
    ("    x = [y for y in range(3)]" + ACCEPTS, 0, "is not allowed"),
    ("    if (x := 1) > 0: pass" + ACCEPTS, 0, "is not allowed"),
    ("    x = order['side'] in (1, 2)" + ACCEPTS, 0, "is not allowed"),
    ("    x = order['side'] is 1" + ACCEPTS, 0, "is not allowed"),
    ("    for i in NAMES:\n        pass" + ACCEPTS, 0, "loops are for <name> in range(<constants>)"),
    ("    for i in range(order['side']):\n        pass" + ACCEPTS, 0, "takes whole numbers that are known beforehand"),
    ("    for i in range(0, 5, 0):\n        pass" + ACCEPTS, 0, "a step that is not 0"),
    ("    for i in range(3):\n        pass\n    else:\n        pass" + ACCEPTS, 0, "loops are for <name>"),
    ("    for i in range(1001):\n        pass" + ACCEPTS, 0, "1001 rounds are more than 1000"),
    (
        "    for i in range(40):\n        for j in range(40):\n            pass" + ACCEPTS,
        1,
        "1600 rounds are more than 1000, all loops multiplied",
    ),
    (
        "    if order['side']:\n        x = 1\n    if x > 0:\n        return 1" + ACCEPTS,
        2,
        "x has no value on every way here",
    ),
    (
        "    for i in range(3):\n        x = 1\n    if x > 0:\n        return 1" + ACCEPTS,
        2,
        "x has no value on every way",
    ),
    ("    x += 1" + ACCEPTS, 0, "x has no value on every way here"),
    ("    LIMIT += 1" + ACCEPTS, 0, "LIMIT has no value on every way here"),
]


@pytest.mark.parametrize(("body", "line", "message"), BAD, ids=[row[0].strip().replace("\n", ";")[:50] for row in BAD])
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_bad_ones_say_where_and_why(body: str, line: int, message: str) -> None:
    with pytest.raises(risk.CheckError) as caught:
        load(body)
    where, _, what = str(caught.value).partition(": bad: ")
    assert message in what
    assert where.endswith(f"bad.py:{FIRST + line}")
    assert not risk.registered()


IMPORTS = "from engine import risk\n"
HEADS: list[tuple[str, str]] = [
    ("@risk.check(reasons={})\ndef bad(order, limits, exposure):", "has no reasons"),
    ("@risk.check(reasons={0: 'a'})\ndef bad(order, limits, exposure):", "0 is not a number from 1 to 999"),
    ("@risk.check(reasons={1000: 'a'})\ndef bad(order, limits, exposure):", "1000 is not a number from 1 to 999"),
    ("@risk.check(reasons={True: 'a'})\ndef bad(order, limits, exposure):", "True is not a number"),
    ("@risk.check(reasons={1: 'Too large'})\ndef bad(order, limits, exposure):", "'Too large' is not a name"),
    (
        "@risk.check(reasons={1: 'a'})\ndef bad(order, limits):",
        "takes (order, limits) instead of (order, limits, exposure)",
    ),
    ("@risk.check(reasons={1: 'a'})\ndef bad(order, limits, exposure=1):", "takes (order, limits, exposure=1) instead"),
    ("@risk.check(reasons={1: 'a'})\ndef bad(order, *, limits, exposure):", "instead of (order, limits, exposure)"),
    ("@risk.check(reasons={1: 'a'})\nasync def bad(order, limits, exposure):", "is not a plain function (def)"),
    ("@risk.check(reasons={1: 'a'})\nclass Bad:\n    pass\n\ndef rest():", "is not a Python function"),
]


@pytest.mark.parametrize(("head", "message"), HEADS, ids=[row[1] for row in HEADS])
def test_bad_declarations(head: str, message: str) -> None:
    with pytest.raises(risk.CheckError) as caught:
        load("    return risk.ACCEPT", IMPORTS + head + "\n")
    assert message in str(caught.value)


def test_what_was_read_is_what_is_compiled() -> None:
    """A constant is the one at registration, and a name that is not one of this package is not `risk`."""
    source = (
        IMPORTS
        + "MOST = 5\n"
        + 'DECLARED = {1: "a"}\n@risk.check(reasons=DECLARED)\ndef fixed(order, limits, exposure):\n'
    )
    (check,) = load("    return 1 if order['quantity'] > MOST else risk.ACCEPT\nMOST = 50", source)
    assert records({"quantity": 6}).ask(check) == 1
    with pytest.raises(risk.CheckError, match=r"returns `risk\.ACCEPT`"):
        load(
            "    return risk.ACCEPT",
            "from engine.risk import check\nclass risk:\n    ACCEPT = 1\n\n"
            "@check(reasons={2: 'a'})\ndef f(order, limits, exposure):\n",
        )


# --- registering and loading --------------------------------------------------------------------------------


def written(path: Path, name: str, reason: int = 1) -> Path:
    path.write_text(
        IMPORTS
        + f"@risk.check(reasons={{{reason}: 'no_{name}'}})\ndef {name}(order, limits, exposure):\n"
        + f"    return {reason} if order['quantity'] > 5 else risk.ACCEPT\n"
    )
    return path


def test_files_in_their_order_take_the_place_of_what_was_there(tmp_path: Path) -> None:
    one, two = written(tmp_path / "b.py", "one", 7), written(tmp_path / "a.py", "two", 9)
    assert [check.name for check in risk.load_checks([one, str(two)])] == ["one", "two"]
    assert risk.describe(1007) == "one: no_one"
    assert risk.describe(2009) == "two: no_two"
    assert risk.describe(2000) == "two: no verdict"
    assert risk.describe(2001) == "two: 1"
    assert risk.describe(3001) == "check 3: 1"
    assert risk.describe(0) == ""
    assert [check.name for check in risk.load_checks([two])] == ["two"]
    assert risk.load_checks([]) == ()


def test_one_name_twice(tmp_path: Path) -> None:
    paths = [written(tmp_path / name, "one") for name in ("a.py", "b.py")]
    with pytest.raises(risk.CheckError, match=r"b\.py:3: there is a check called one already"):
        risk.load_checks(paths)
    assert risk.registered() == ()


def test_no_more_than_an_engine_takes(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{number}.py", f"check_{number}") for number in range(checks.CHECKS_MAX + 1)]
    assert len(risk.load_checks(paths[:-1])) == checks.CHECKS_MAX
    with pytest.raises(risk.CheckError, match="is one check more than 16"):
        risk.load_checks(paths)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1 +", "SyntaxError"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("1 // 0", "ZeroDivisionError"),
        ("x = 1", r"registers no check \(@risk.check\)"),
        (None, "FileNotFoundError"),
    ],
)
def test_files_that_cannot_be_loaded(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "checks.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(risk.CheckError, match=rf"checks\.py: {message}"):
        risk.load_checks([path])


def test_a_function_without_source() -> None:
    names: dict[str, Any] = {"risk": risk}
    with pytest.raises(risk.CheckError, match="the source of typed_in cannot be read"):
        exec("@risk.check(reasons={1: 'a'})\ndef typed_in(order, limits, exposure):\n    return 1\n", names)


def test_they_run_after_ours_in_order() -> None:
    """What the engine is given: addresses in the order of registration."""

    class Taker:
        given: tuple[int, list[int]] | None = None

        def attach_checks(self, decide: int, own: Any = ()) -> None:
            self.given = (decide, list(own))

    one = risk.check(reasons={1: "a"})(overflowing)
    two = risk.check(reasons={1: "a"})(dividing)
    taker = Taker()
    risk.attach(taker)
    assert taker.given is not None
    assert taker.given[1] == [one.address, two.address]
    risk.attach(taker, [two])
    assert taker.given[1] == [two.address]
