"""What Numba makes of the kernels: machine code that the engine calls by address, and the loops of the loops.

The functions themselves stay plain Python, in `kernel` and `loops`, and importing this module does not import Numba.
All is compiled for the records as they are, when it is first needed or by `warm()`, once in a process, and kept by
`engine.risk.cache`. A record argument is a pointer to the record in compiled code, which is what the engine passes.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from threading import RLock
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from engine._core.risk_records import EXPOSURE, FINDING, LIMITS, RISK_ORDER
from engine.risk import arithmetic, cache, kernel, loops

HOLDING = np.dtype([("account", np.int64), ("instrument", np.int64), ("quantity", np.int64), ("basis", np.int64)])
"""A position for `revalue_all`: row of its account, row of its instrument, quantity (negative: short), and what it
stands for in minor units of the quote ledger, signed as the quantity, within ± 2^61."""

TERMS = np.dtype(
    [("mark_price", np.int64), ("contract_size", np.int64), ("price_scale", np.int64), ("exposure_rate", np.int64)]
)
"""An instrument for `revalue_all`: mark price in the instrument's units (0: none), contract size, price scale, and
millionths of the risk currency for each minor unit of the quote ledger."""

VALUATION = np.dtype([("value", np.int64), ("unrealised", np.int64)])
"""A position in the risk currency, both signed and within ± 2^56."""

TOTAL = np.dtype([("long_value", np.int64), ("short_value", np.int64), ("unrealised", np.int64)])
"""Sums over positions in the risk currency; the values are not negative."""

OPTIONS: dict[str, Any] = {"error_model": "numpy"}
"""Divisions in our kernels are by what is not 0; this takes the test for it out of them."""


def rebuilt(function: Callable[..., Any], **names: Any) -> Callable[..., Any]:
    """The same function with some of its module's names standing for something else."""
    assert isinstance(function, FunctionType)
    return FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__, function.__defaults__)


class Compiler:
    """Compiles functions into what it keeps in a directory (None: nowhere)."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self.caches: list[cache.FunctionCache] = []

    def kept(self, function: Callable[..., Any], names: str) -> cache.FunctionCache | None:
        """Where the compiled forms of a function are kept."""
        if self.directory is None:
            return None
        self.caches.append(cache.FunctionCache(self.directory, function, names))
        return self.caches[-1]

    def jit(self, function: Callable[..., Any], signature: Any = None, *, inline: bool = False) -> Any:
        """The function compiled for one signature, or, without one, for whatever compiled functions call it with."""
        import numba

        compiled: Any = numba.njit(forceinline=inline, nogil=True, **OPTIONS)(function)
        if signature is not None:
            if (kept := self.kept(function, "python")) is not None:
                compiled._cache = kept  # noqa: SLF001
            compiled.compile(signature)
            compiled.disable_compile()
        return compiled

    def callback(self, function: Callable[..., Any], signature: Any, *, names: str = "", **options: Any) -> Any:
        """The function as one of C, with an `address`."""
        from numba.core.ccallback import CFunc

        compiled: Any = CFunc(function, (signature.args, signature.return_type), {}, {**OPTIONS, **options})
        if (kept := self.kept(function, f"c {names}")) is not None:
            compiled._cache = kept  # noqa: SLF001
        compiled.compile()
        return compiled


def record(dtype: np.dtype[np.void]) -> Any:
    """Numba's type of a record."""
    from numba.np.numpy_support import from_dtype

    return from_dtype(dtype)


def array(of: Any, dimensions: int = 1, *, readonly: bool = False) -> Any:
    """Numba's type of a contiguous array."""
    from numba import types

    return types.Array(of, dimensions, "C", readonly=readonly)


class Kernels:
    """The compiled functions. What the engine calls is compiled at once, each door when it is first used."""

    def __init__(self, directory: Path | None) -> None:
        """`directory`: where compiled code is kept; None: nowhere."""
        from numba import types

        self.directory = directory
        self._compiler = compiler = Compiler(directory)
        self._helpers: dict[str, Any] = {}
        for name in ("refuse", "saturated", "rate_used", "rate_may_fail", "scope_may_fail"):
            function = rebuilt(getattr(kernel, name), **self._helpers)
            self._helpers[name] = compiler.jit(function, inline=True)
        self._helpers["refusal"] = compiler.jit(rebuilt(kernel.refusal, **self._helpers))
        self._decide = rebuilt(kernel.decide, **self._helpers)
        order, limits, exposure, finding = map(record, (RISK_ORDER, LIMITS, EXPOSURE, FINDING))
        self._decide_type = types.int64(order, *(limits, exposure) * 4, finding)
        self._callback = compiler.callback(self._decide, self._decide_type)
        self.address: int = self._callback.address
        """Of `kernel.decide` as a C function: int64 of ten pointers. Lives as long as this object."""

    @property
    def from_cache(self) -> int:
        """How many functions did not have to be compiled."""
        return sum(each.hits for each in self._compiler.caches)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Compile a door, for good."""
        signatures = DOORS.get(name)
        if signatures is None:
            raise AttributeError(name)
        with _lock:
            if name not in self.__dict__:
                function = self._decide if name == "decide" else rebuilt(getattr(loops, name), **self._inner)
                self.__dict__[name] = self._compiler.jit(function, signatures(self))
        return self.__dict__[name]  # type: ignore[no-any-return]

    def all(self) -> None:
        """Compile every door."""
        for name in DOORS:
            getattr(self, name)

    @cached_property
    def _inner(self) -> dict[str, Any]:
        """What loops call."""
        jit = self._compiler.jit
        inner = {**self._helpers, "decide": jit(self._decide), "too_full": jit(loops.too_full, inline=True)}
        inner["room_below"] = jit(loops.room_below, inline=True)
        inner |= {"judge": jit(rebuilt(loops.judge, **inner)), "take_token": jit(loops.take_token)}
        inner["part"] = jit(loops.part)
        inner["converted"] = jit(rebuilt(loops.converted, **inner))
        return inner

    if TYPE_CHECKING:
        decide: Callable[..., int]
        basket: Callable[..., int]
        prepare: Callable[..., None]
        basket_prepared: Callable[..., int]
        basket_in_sequence: Callable[..., int]
        revalue: Callable[..., int]


def _asked() -> list[Any]:
    """Types of orders, limits, exposures and groups."""
    from numba import types

    records = [array(record(each), readonly=True) for each in (RISK_ORDER, LIMITS, EXPOSURE)]
    return [*records, array(types.int32, 2, readonly=True)]


def _answers() -> list[Any]:
    """Types of verdicts and findings."""
    from numba import types

    return [array(types.int64), array(record(FINDING))]


def _basket(_: Kernels) -> Any:
    from numba import types

    return types.int64(*_asked(), *_answers())


def _prepare(_: Kernels) -> Any:
    from numba import types

    return types.void(*_asked()[1:3], array(types.int64, 2))


def _basket_prepared(_: Kernels) -> Any:
    from numba import types

    return types.int64(*_asked(), array(types.int64, 2, readonly=True), *_answers())


def _basket_in_sequence(_: Kernels) -> Any:
    from numba import types

    orders, limits, _exposures, groups = _asked()
    more = [array(types.int64, readonly=True), array(types.int64, 2), array(record(RISK_ORDER))]
    return types.int64(orders, limits, array(record(EXPOSURE)), groups, *more, *_answers())


def _revalue(_: Kernels) -> Any:
    from numba import types

    given = [array(record(each), readonly=True) for each in (HOLDING, TERMS)]
    return types.int64(*given, *(array(record(each)) for each in (VALUATION, TOTAL)))


DOORS: dict[str, Callable[[Kernels], Any]] = {
    "decide": lambda kernels: kernels._decide_type,  # noqa: SLF001
    "basket": _basket,
    "prepare": _prepare,
    "basket_prepared": _basket_prepared,
    "basket_in_sequence": _basket_in_sequence,
    "revalue": _revalue,
}
"""Signatures of what Python calls."""


def guarded(order: Any, limits: Any, exposure: Any, _out: Any) -> int:
    """A check whose failure is no verdict: 0, which is not ACCEPT. A C function that raises says so too, but prints."""
    try:
        return plain(order, limits, exposure)
    except Exception:  # noqa: BLE001 - Numba knows no other
        return 0


def plain(_order: Any, _limits: Any, _exposure: Any) -> int:
    """Stands for the check in `guarded`."""
    raise NotImplementedError


def compile_check(check: Callable[..., int]) -> Any:
    """An institution's own check, as `engine.risk.checks` has rebuilt it, as a C function with an `address`."""
    from numba import types

    assert isinstance(check, FunctionType)
    compiler = Compiler(kernels().directory)
    known: dict[str, Any] = {}
    for name, function in arithmetic.FUNCTIONS.items():
        known[name] = compiler.jit(rebuilt(function, **known))
    exposed = rebuilt(guarded, plain=compiler.jit(rebuilt(check, **known)))
    signature = types.int64(record(RISK_ORDER), record(LIMITS), record(EXPOSURE), record(FINDING))
    return compiler.callback(exposed, signature, names=repr((check.__name__, cache.described(check.__code__))))


_compiled: list[Kernels] = []
_lock = RLock()


def kernels(directory: Path | None = None) -> Kernels:
    """The kernels of this process, compiled or loaded when they are first asked for; doors when they are first used.

    `directory`: below which they are kept, by default the user's cache directory; only the first call has a say.
    """
    with _lock:
        if not _compiled:
            _compiled.append(Kernels(cache.open_cache(directory)))
        return _compiled[0]
