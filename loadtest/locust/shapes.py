"""The shapes as Locust has them; the curves themselves are in curves.py."""

import math
from typing import ClassVar

from locust import LoadTestShape

from loadtest.locust.curves import SECONDS, Curve, users_at

USERS_DEFAULT = 10

Tick = tuple[int, float] | None


class CurveShape(LoadTestShape):
    """Follows a curve up to --users within --run-time; what the web page's form says counts as well."""

    abstract = True
    use_common_options = True
    curve: ClassVar[Curve]

    def tick(self) -> Tick:
        """How many users there are now, and how fast they come."""
        options = self.runner.environment.parsed_options if self.runner is not None else None
        users = int(getattr(options, "num_users", None) or USERS_DEFAULT)
        lasts = float(getattr(options, "run_time", None) or SECONDS[self.curve])
        wanted = users_at(self.curve, self.get_run_time(), users, lasts)
        if wanted is None:
            return None
        # Locust asks once a second and does not ask again before all have come: the curve alone says how fast.
        return wanted, float(math.ceil(users))


class Ramp(CurveShape):
    """From one user to all of them, evenly."""

    curve = "ramp"


class Step(CurveShape):
    """Up in five equal steps."""

    curve = "step"


class Spike(CurveShape):
    """A tenth of the users, in the middle fifth of the run all of them."""

    curve = "spike"


class Soak(CurveShape):
    """All users for long, once they have come within the first twentieth."""

    curve = "soak"


SHAPES: dict[Curve, type[CurveShape]] = {"ramp": Ramp, "step": Step, "spike": Spike, "soak": Soak}
