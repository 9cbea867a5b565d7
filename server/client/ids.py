"""Transfer ids: UUIDv7 (RFC 9562), so that ids made later sort later.

The first 60 bits after the version are milliseconds and the fraction of a millisecond in 1/4096; they never stand
still or go back within a process, also when the clock does. The other 62 bits are random.
"""

import os
import threading
import time
import uuid

import numpy as np
import numpy.typing as npt

_VARIANT = 0x8 << 60
_RANDOM_MASK = (1 << 62) - 1
_lock = threading.Lock()
_last = 0


def _reserve(count: int) -> int:
    """Take `count` consecutive ticks of 1/4096 ms, all after those taken before; return the first."""
    global _last  # noqa: PLW0603 - the one counter of the process
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    now = (milliseconds << 12) | (rest * 4096 // 1_000_000)
    with _lock:
        first = max(now, _last + 1)
        _last = first + count - 1
    return first


def uuid7() -> uuid.UUID:
    """Give a new id, greater than every one that this process was given before."""
    tick = _reserve(1)
    high = ((tick >> 12) << 16) | 0x7000 | (tick & 0xFFF)
    low = _VARIANT | (int.from_bytes(os.urandom(8)) & _RANDOM_MASK)
    return uuid.UUID(int=(high << 64) | low)


def uuid7_array(count: int) -> npt.NDArray[np.uint64]:
    """Give `count` new ids in ascending order, shape (count, 2), low half first, as the records hold them."""
    ticks = np.arange(count, dtype=np.uint64) + np.uint64(_reserve(count))
    ids = np.empty((count, 2), np.uint64)
    ids[:, 1] = ((ticks >> np.uint64(12)) << np.uint64(16)) | np.uint64(0x7000) | (ticks & np.uint64(0xFFF))
    random = np.frombuffer(os.urandom(8 * count), np.uint64)
    ids[:, 0] = (random & np.uint64(_RANDOM_MASK)) | np.uint64(_VARIANT)
    return ids
