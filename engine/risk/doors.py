"""The kernel over many orders at once, and all positions at new prices: NumPy arrays in, NumPy arrays out.

`check_basket` asks the very `decide` that the engine asks for each order. `revalue_all` does what the engine does when
a price moves (docs/RISK.md, "Exposures"), for as many positions and instruments as one likes.

    verdicts, findings = check_basket(orders, limits, exposures, groups)
    refused = verdicts != ACCEPT
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine._core.risk_records import EXPOSURE, FINDING, LIMITS, RISK_ORDER
from engine.risk.compiled import HOLDING, TERMS, TOTAL, VALUATION, kernels
from engine.risk.kernel import RISK_FAILED
from engine.risk.loops import ROOMS, WORD_MASK

Numbers = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]

GROUPS_PER_ORDER = 4
"""With no more groups than this for each order it pays to work out first how much room every group has."""


class Basket(NamedTuple):
    """What `check_basket` says about each order."""

    verdicts: Numbers
    """ACCEPT, or the Reason."""
    findings: Records
    """FINDING: what was found, of those that were refused; else zeros."""


class Revaluation(NamedTuple):
    """What `revalue_all` gives."""

    positions: Records
    """VALUATION of each position."""
    accounts: Records
    """TOTAL of each account."""


def checked(name: str, array: npt.NDArray[Any], dtype: Any, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
    """The array, contiguous; TypeError or ValueError when it is another."""
    if array.dtype != dtype:
        raise TypeError(f"{name}: {array.dtype} instead of {dtype}")
    if array.ndim != len(shape) or any(
        want is not None and want != have for want, have in zip(shape, array.shape, strict=True)
    ):
        raise ValueError(f"{name}: shape {array.shape} instead of {shape}")
    return np.ascontiguousarray(array)


def check_basket(
    orders: Records, limits: Records, exposures: Records, groups: npt.NDArray[np.int32], *, in_sequence: bool = False
) -> Basket:
    """Holds each order of a basket to its limits, and says of each what the engine would.

    `orders`: RISK_ORDER, shape (n,). `limits`, `exposures`: LIMITS and EXPOSURE, shape (g,), one row for each group,
    whatever its scope; one for "no desk" or "no client" has UNLIMITED limits and zeros. `groups`: int32, shape (n, 4),
    the rows of each order's account, desk, client and instrument. None of them is changed.

    Each order is held against the exposures as they are; with `in_sequence`, the accepted orders of the basket count
    for the later ones: open orders, values and quantities, tokens of the rate, and messages (of refused ones too).
    Duplicates are what `duplicate_age` says, in both cases.

    Raises TypeError for an array of another dtype, ValueError for another shape, IndexError for a group that is not
    there.
    """
    orders = checked("orders", orders, RISK_ORDER, (None,))
    limits = checked("limits", limits, LIMITS, (None,))
    exposures = checked("exposures", exposures, EXPOSURE, (len(limits),))
    groups = checked("groups", groups, np.dtype(np.int32), (len(orders), 4))
    verdicts = np.full(len(orders), RISK_FAILED, dtype=np.int64)
    findings = np.zeros(len(orders), dtype=FINDING)
    if in_sequence:
        keys = groups[:, 0].astype(np.int64) << 32 | orders["instrument"]
        distinct, positions = np.unique(keys, return_inverse=True)
        opened = np.zeros((len(distinct), 2), dtype=np.int64)
        done = kernels().basket_in_sequence(
            orders, limits, exposures.copy(), groups, positions, opened, np.zeros(1, RISK_ORDER), verdicts, findings
        )
    elif len(limits) <= GROUPS_PER_ORDER * len(orders):
        rooms = np.empty((len(limits), ROOMS), dtype=np.int64)
        kernels().prepare(limits, exposures, rooms)
        done = kernels().basket_prepared(orders, limits, exposures, groups, rooms, verdicts, findings)
    else:
        done = kernels().basket(orders, limits, exposures, groups, verdicts, findings)
    if done < len(orders):
        raise IndexError(f"groups[{done}]: {groups[done].tolist()} with {len(limits)} groups")
    return Basket(verdicts, findings)


def revalue_all(holdings: Records, terms: Records, accounts: int) -> Revaluation:
    """Every position at its instrument's mark price, and the sums of each account.

    `holdings`: HOLDING, shape (n,); `terms`: TERMS, shape (m,), with 1 … 10^12 as exposure rate and mark price times
    contract size below 2^62; `accounts`: how many there are. A position without a mark price is worth its basis.
    Amounts stop at ± 2^61 in the quote ledger, at ± 2^56 in the risk currency and at ± 2^62 in sums, as nothing wraps.

    Raises TypeError for an array of another dtype, ValueError for another shape or terms out of bounds, IndexError for
    an account or instrument that is not there.
    """
    holdings = checked("holdings", holdings, HOLDING, (None,))
    terms = checked("terms", terms, TERMS, (None,))
    wrong = (
        (terms["mark_price"] < 0)
        | (terms["contract_size"] < 1)
        | (terms["price_scale"] < 1)
        | (terms["price_scale"] > WORD_MASK)
        | (terms["exposure_rate"] < 1)
        | (terms["exposure_rate"] > 10**12)
        | (terms["mark_price"] > WORD_MASK // np.maximum(terms["contract_size"], 1))
    )
    if wrong.any():
        raise ValueError(f"terms[{int(wrong.argmax())}]: {terms[wrong.argmax()]} is out of bounds")
    positions = np.zeros(len(holdings), dtype=VALUATION)
    totals = np.zeros(accounts, dtype=TOTAL)
    done = kernels().revalue(holdings, terms, positions, totals)
    if done < len(holdings):
        raise IndexError(f"holdings[{done}]: {holdings[done]} with {accounts} accounts and {len(terms)} instruments")
    return Revaluation(positions, totals)
