from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.batch import Batch

ITEMS_MAX: int
STEP_SUBMIT: int
STEP_CANCEL: int
STEP_REPLACE: int
STEP_BOOK: int

def append(
    batch: Batch,
    method: str,
    items: npt.NDArray[Any],
    *,
    links: npt.NDArray[Any] | None = None,
    scope: int = 0,
) -> None: ...
def append_read(
    batch: Batch,
    method: str,
    filter: npt.NDArray[Any],  # noqa: A002
    *,
    limit_max: int,
    scope: int = 0,
) -> None: ...
def append_steps(
    batch: Batch,
    steps: npt.NDArray[np.uint8],
    orders: npt.NDArray[Any],
    amends: npt.NDArray[Any],
    filter: npt.NDArray[Any],  # noqa: A002
    *,
    limit_max: int,
    scope: int = 0,
) -> None: ...
def append_limits_read(
    batch: Batch,
    method: str,
    filter: npt.NDArray[Any],  # noqa: A002
    *,
    limit_max: int,
) -> None: ...
def verdicts(batch: Batch) -> npt.NDArray[Any]: ...
def order_answers(batch: Batch) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]: ...
def book_answers(batch: Batch) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]: ...
def answers(batch: Batch, index: int) -> Any: ...
def forget_answers(batch: Batch) -> None: ...
