"""Pre-trade risk: limits, exposures, and the checks that hold orders to them. See docs/RISK.md.

    kernels = warm()                    # compiles, or takes what an earlier start has compiled
    attach(engine)                      # the engine's orders are held to their limits from now on

Importing this package imports neither Numba nor the engine.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from engine.risk.kernel import ACCEPT

__all__ = ["ACCEPT", "attach", "warm"]


class _Attachable(Protocol):
    """An engine, as far as this package knows it."""

    def attach_checks(self, decide: int, own: Sequence[int] = ()) -> None: ...


def warm(directory: Path | None = None) -> None:
    """Compiles every kernel for the real records, or loads what has been compiled, so that no order waits for it.

    `directory`: below which compiled code is kept; by default `tongbao/numba` in the user's cache directory. See
    `engine.risk.cache` for when it is trusted. Only the first call in a process, of this or `attach`, has a say.
    """
    from engine.risk.compiled import kernels

    kernels(directory)


def attach(engine: _Attachable) -> None:
    """Gives the engine the compiled kernel to hold orders to their limits with."""
    from engine.risk.compiled import kernels

    engine.attach_checks(kernels().address)
