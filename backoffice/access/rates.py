"""How often somebody may ask: a sliding window per user, and one per address for logging on.

Counted in the memory of each process: with several of them the limits count for each.
"""

import math
import time
from typing import Final

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from backoffice.problems import Code, Problem
from backoffice.settings import SettingError, Settings

USER: Final = "user"
ADDRESS: Final = "address"


class Rates:
    """The windows of a process."""

    def __init__(self, settings: Settings) -> None:
        self._items = {
            USER: _item("rate_user", settings.rate_user),
            ADDRESS: _item("rate_address", settings.rate_address),
        }
        self._storage: MemoryStorage | None = None

    async def count(self, kind: str, who: str) -> None:
        """Count one request; Problem when there were too many, with the seconds to wait as `retry_after`."""
        item = self._items[kind]
        if item is None:
            return
        if self._storage is None:  # made in the loop that uses it
            self._storage = MemoryStorage()
        limiter = SlidingWindowCounterRateLimiter(self._storage)
        if not await limiter.hit(item, kind, who):
            window = await limiter.get_window_stats(item, kind, who)
            wait = max(1, math.ceil(window.reset_time - time.time()))
            raise Problem(Code.TOO_MANY, f"{item.amount} in {item.get_expiry()} s", more={"retry_after": wait})


def _item(name: str, text: str) -> RateLimitItem | None:
    if text == "none":
        return None
    try:
        return parse(text)
    except ValueError:
        raise SettingError(f"{name}: {text!r} is not like 600/minute, or none") from None
