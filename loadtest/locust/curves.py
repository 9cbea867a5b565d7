"""How many users there are at which moment: the shapes, without Locust."""

import math
from typing import Literal, TypeAlias, get_args

Curve: TypeAlias = Literal["ramp", "step", "spike", "soak"]
CURVES: tuple[Curve, ...] = get_args(Curve)

SECONDS: dict[Curve, float] = {"ramp": 60.0, "step": 60.0, "spike": 60.0, "soak": 3_600.0}
"""How long a shape lasts without --run-time."""
STEPS = 5
SPIKE_FROM, SPIKE_TO = 0.4, 0.6
"""When the spike stands, as parts of the run."""
SPIKE_BASE = 0.1
"""Of the users, how many are there before and after the spike."""
SOAK_RISE = 0.05
"""The part of a soak in which its users come."""


def users_at(curve: Curve, seconds: float, users: int, lasts: float) -> int | None:
    """How many users there are `seconds` after the start; None when the run is over."""
    if seconds >= lasts:
        return None
    part = seconds / lasts
    if curve == "ramp":
        wanted = users * part
    elif curve == "step":
        wanted = users * (1 + math.floor(part * STEPS)) / STEPS
    elif curve == "spike":
        wanted = users if SPIKE_FROM <= part < SPIKE_TO else users * SPIKE_BASE
    else:
        wanted = users * part / SOAK_RISE
    return max(1, min(users, math.ceil(wanted)))
