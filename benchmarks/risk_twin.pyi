from typing import Any

import numpy as np
import numpy.typing as npt

def addresses() -> tuple[int, int]: ...
def watch(address: int, refusing: bool) -> int: ...
def fallen(times: npt.NDArray[np.int64]) -> int: ...
def ask(
    address: int,
    orders: npt.NDArray[np.void],
    limits: npt.NDArray[np.void],
    exposures: npt.NDArray[np.void],
    groups: npt.NDArray[np.int32],
    verdicts: npt.NDArray[np.int64],
    findings: npt.NDArray[Any],
) -> None: ...
