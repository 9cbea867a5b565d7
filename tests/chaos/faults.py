"""What may happen to a site, and in which order: a function of the seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

MINUTE = 60.0


class Fault(StrEnum):
    """One thing that goes wrong."""

    KILL_LEADER = "kill -9 of the leader"
    KILL_STANDBY = "kill -9 of the standby"
    KILL_BOTH = "kill -9 of leader and standby"
    KILL_FOLLOWER = "kill -9 of the follower"
    KILL_POSTGRES = "kill -9 of PostgreSQL"
    KILL_BACKEND = "kill -9 of a session's process"
    POSTGRES_FAST = "PostgreSQL restarted, fast"
    POSTGRES_IMMEDIATE = "PostgreSQL restarted, immediate"
    PAUSE_LEADER = "leader stopped, then continued"
    PAUSE_POSTGRES = "PostgreSQL stopped, then continued (a disk that hangs)"
    CUT_OFF_LEADER = "leader cut off from PostgreSQL"
    CUT_OFF_ALL = "all servers cut off from PostgreSQL"
    CUT_OFF_CLIENTS = "clients cut off from the leader"
    DROP_SESSIONS = "every connection of the leader dropped"
    DISK_FULL = "disk full"
    SLOW_DISK = "slow disk"
    PROMOTE = "tongbao promote"
    PROMOTE_AND_KILL = "kill -9 of the leader while it hands over"


ALLOWED: dict[Fault, set[int]] = {
    Fault.KILL_LEADER: {-9},
    Fault.KILL_STANDBY: {-9},
    Fault.KILL_BOTH: {-9},
    Fault.PROMOTE: {0},
    Fault.PROMOTE_AND_KILL: {-9, 0},
}
"""Exit codes of servers that a fault explains, beside FENCED, which a leader that was late may always end with."""
FENCED = 6

PROCESSES_KILLED = {
    Fault.KILL_LEADER,
    Fault.KILL_STANDBY,
    Fault.KILL_BOTH,
    Fault.KILL_FOLLOWER,
    Fault.KILL_POSTGRES,
    Fault.KILL_BACKEND,
    Fault.PROMOTE_AND_KILL,
}
"""Faults that kill with -9."""


@dataclass(frozen=True, slots=True)
class Blow:
    """A fault, after so much load, for so long (where it has a length)."""

    fault: Fault
    load: float
    seconds: float


SHORT = (
    Fault.KILL_LEADER,
    Fault.CUT_OFF_LEADER,
    Fault.POSTGRES_IMMEDIATE,
    Fault.PROMOTE,
    Fault.PAUSE_LEADER,
)
"""What a run of half a minute does, in an order that the seed gives."""


class Deck:
    """The blows: all faults in some order, then all in another, without end."""

    def __init__(self, seed: int, faults: Sequence[Fault], pause: float) -> None:
        self._random = Random(f"chaos:{seed}")
        self._faults = faults
        self._pause = pause
        """Seconds for which a leader is stopped."""
        self._left: list[Fault] = []

    def draw(self) -> Blow:
        """Return the next."""
        if not self._left:
            self._left = self._random.sample(self._faults, len(self._faults))
        fault = self._left.pop()
        load = self._random.uniform(0.1, 1.0)
        seconds = self._random.uniform(1.0, 3.0)
        return Blow(fault, load, self._pause if fault is Fault.PAUSE_LEADER else seconds)
