"""Pre-trade risk: limits, exposures, and the checks that hold orders to them. See docs/RISK.md.

    load_checks(["checks.py"])          # the institution's own, if there are any (engine.risk.checks)
    warm()                              # compiles, or takes what an earlier start has compiled
    attach(engine)                      # the engine's orders are held to their limits from now on

Importing this package imports neither Numba nor the engine.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from engine.risk.checks import Check, CheckError, check, describe, forget_checks, load_checks, registered
from engine.risk.kernel import ACCEPT
from engine.risk.names import LimitName, LimitScope

__all__ = [
    "ACCEPT",
    "Check",
    "CheckError",
    "LimitName",
    "LimitScope",
    "attach",
    "check",
    "describe",
    "forget_checks",
    "load_checks",
    "registered",
    "warm",
]


class _Attachable(Protocol):
    """An engine, as far as this package knows it."""

    def attach_checks(self, decide: int, own: Sequence[int] = ()) -> None: ...


def warm(directory: Path | None = None) -> None:
    """Compiles every kernel and every registered check for the real records, or loads what has been compiled.

    `directory`: below which compiled code is kept; by default `tongbao/numba` in the user's cache directory. See
    `engine.risk.cache` for when it is trusted. Only the first call in a process, of this or `attach`, has a say.
    Raises CheckError.
    """
    from engine.risk.compiled import kernels

    kernels(directory)
    for each in registered():
        each.address  # noqa: B018 - compiles it


def attach(engine: _Attachable, checks: Sequence[Check] | None = None) -> None:
    """Gives the engine the compiled kernel to hold orders to their limits with, and own checks to be asked after it.

    `checks`: by default all that are registered, in that order. Raises CheckError.
    """
    from engine.risk.compiled import kernels

    own = registered() if checks is None else checks
    engine.attach_checks(kernels().address, [each.address for each in own])
