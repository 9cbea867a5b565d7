from typing import Any

import numpy.typing as npt

from engine._core.batch import Batch

ITEMS_MAX: int

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
def answers(batch: Batch, index: int) -> Any: ...
def forget_answers(batch: Batch) -> None: ...
