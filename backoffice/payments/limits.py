"""Limits of payments: per payment, per day, and how many a day; by channel and over all channels.

A limit is a number out of the parameters; what has been used is counted by who owns the rows. `check` names every
limit that would be broken, not only the first, so that a customer sees at once what is possible. The window is the
calendar day in China, whatever the clock of the machine says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum

CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")
"""China Standard Time: eight hours ahead of UTC, without summer time since 1991 (IANA tz database)."""


def day_of(moment: datetime) -> date:
    """The day in China on which something happens. Raises ValueError for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"moment: {moment} has no time zone")
    return moment.astimezone(CHINA).date()


class Measure(StrEnum):
    """What a limit counts."""

    EACH = "each"
    """Amount of one payment."""
    DAY = "day"
    """Sum of amounts in a day."""
    COUNT = "count"
    """Payments in a day."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that is allowed, inclusive. `channel` "" counts all channels together."""

    measure: Measure
    most: int
    channel: str = ""
    currency: str = "CNY"

    def __post_init__(self) -> None:
        if self.most < 0:
            raise ValueError(f"most: {self.most} is below zero")


@dataclass(frozen=True, slots=True)
class Use:
    """What has been used of a day on one channel: sum in minor units, and how many."""

    amount_minor: int = 0
    count: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(self.amount_minor + other.amount_minor, self.count + other.count)


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that a payment would break: what would be reached, and what is still possible."""

    limit: Limit
    reached: int
    left: int

    def words(self) -> str:
        """One sentence for people who read logs; the API has its own texts."""
        where = self.limit.channel or "all channels"
        return f"limit {self.limit.measure} of {where}: {self.reached} is above {self.limit.most}, {self.left} is left"


def check(
    limits: Iterable[Limit], used: Mapping[str, Use], *, channel: str, currency: str, amount_minor: int
) -> list[Breach]:
    """Say which limits the payment would break; nothing means that it may go on.

    `used` is the use of the day by channel, in this currency, without this payment. For it to hold under concurrency
    the caller must have locked the customer's rows of the day, or must write the new use with the same condition.
    """
    if amount_minor <= 0:
        raise ValueError(f"amount_minor: {amount_minor} is not above zero")
    breaches = []
    for limit in limits:
        if limit.currency != currency or limit.channel not in {"", channel}:
            continue
        so_far = used.get(channel, Use()) if limit.channel else sum(used.values(), Use())
        before, adds = {
            Measure.EACH: (0, amount_minor),
            Measure.DAY: (so_far.amount_minor, amount_minor),
            Measure.COUNT: (so_far.count, 1),
        }[limit.measure]
        if before + adds > limit.most:
            breaches.append(Breach(limit, before + adds, max(0, limit.most - before)))
    return breaches
