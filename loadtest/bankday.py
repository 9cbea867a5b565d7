"""A bank's day: what its customers ask for at which hour, and how much of it.

The shares are a model, not a measurement: payments follow the waking hours, salaries leave in batches in the early
morning, the exchange trades from 9:30 to 11:30 and 13:00 to 15:00, statements are drawn when the day is over.
"""

from typing import Literal, TypeAlias, get_args

Activity: TypeAlias = Literal["payment", "salaries", "balance", "statement", "order"]
ACTIVITIES: tuple[Activity, ...] = get_args(Activity)

NIGHT = (20, 0, 60, 20, 0)
RUN = (10, 60, 20, 10, 0)
MORNING = (45, 5, 45, 5, 0)
TRADING = (35, 0, 30, 2, 33)
NOON = (50, 0, 45, 5, 0)
EVENING = (45, 0, 50, 5, 0)
CLOSING = (10, 10, 20, 60, 0)

HALF_HOURS: tuple[tuple[int, ...], ...] = (
    *[NIGHT] * 10,  # 0:00 - 5:00
    *[RUN] * 4,  # 5:00 - 7:00
    *[MORNING] * 5,  # 7:00 - 9:30
    *[TRADING] * 4,  # 9:30 - 11:30
    *[NOON] * 3,  # 11:30 - 13:00
    *[TRADING] * 4,  # 13:00 - 15:00
    *[NOON] * 6,  # 15:00 - 18:00
    *[EVENING] * 8,  # 18:00 - 22:00
    *[CLOSING] * 4,  # 22:00 - 24:00
)
"""Shares of the activities in percent, in the order of ACTIVITIES."""

VOLUME = (
    *(0.10, 0.05, 0.05, 0.05, 0.05, 0.30, 0.40, 0.50, 0.70, 1.00, 1.00, 0.90),
    *(0.80, 0.90, 0.90, 0.70, 0.60, 0.65, 0.70, 0.70, 0.60, 0.45, 0.30, 0.20),
)
"""Of each hour, against the busiest."""


def hour_at(seconds: float, day_seconds: float, start_hour: float = 0.0) -> float:
    """The hour of the day, 0 to 24, after so many seconds of a run in which a day takes `day_seconds`."""
    return (start_hour + seconds * 24 / day_seconds) % 24


def activity(hour: float, bits: int) -> Activity:
    """What the 64 random bits of an item make of it at that hour."""
    shares = HALF_HOURS[int(hour * 2) % 48]
    ball = (bits >> 40) % 100
    for name, share in zip(ACTIVITIES, shares, strict=True):
        if ball < share:
            return name
        ball -= share
    raise AssertionError("the shares of an hour are not 100 together")


def volume(hour: float) -> float:
    """How busy the hour is, against the busiest."""
    return VOLUME[int(hour) % 24]
