"""What is killed, when, and how: a schedule that the seed alone decides, and the hand that carries it out.

A round is load, then a strike, then perhaps more strikes while everything starts again. What a strike aims at:

    load       any moment under load: most of it is spent inside commits
    reply      the server is stopped for a moment first, so that the commit in flight is done and its replies are not
    commit     PostgreSQL's sessions are stopped first: the batch in flight has been applied and will never be committed
    snapshot   the moment a file appears in the directory of snapshots
    start      a moment after the restart, drawn from the time that a start takes: recovery, takeover, first requests
    stop       a moment after SIGTERM
"""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random

from tests.crash.processes import Cluster, ServerProcess, StuckError, send

FREEZE_SECONDS = 0.03
SNAPSHOT_WAIT_SECONDS = 2.0


class Target(StrEnum):
    """What is killed with -9, or else what happens."""

    SERVER = "server"
    POSTMASTER = "postmaster"
    POSTGRES = "postgres"
    """All processes of the cluster."""
    BACKEND = "backend"
    """One session's process: PostgreSQL then restarts all of itself."""
    BOTH = "both"
    """Server and cluster, as when the machine's processes all die."""
    # Not kills.
    PAUSE = "pause"
    """SIGSTOP, then SIGCONT."""
    TERM = "term"
    """SIGTERM: an ordered stop."""
    CLIENT = "client"


KILLS = {Target.SERVER, Target.POSTMASTER, Target.POSTGRES, Target.BACKEND, Target.BOTH}
ENDS_SERVER = {Target.SERVER, Target.BOTH, Target.TERM}


class Moment(StrEnum):
    """See the head of this file."""

    LOAD = "load"
    REPLY = "reply"
    COMMIT = "commit"
    SNAPSHOT = "snapshot"
    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Strike:
    """One blow."""

    target: Target
    moment: Moment
    delay: float
    """Seconds of load before it; for START, the part of a usual start that has passed; else seconds."""

    def __str__(self) -> str:
        return f"{self.target} at {self.moment}"


@dataclass(frozen=True, slots=True)
class Round:
    """A strike, and those that hit what starts after it."""

    load: float
    """Seconds of load before the strike."""
    strike: Strike
    during_start: tuple[Strike, ...] = ()

    @property
    def kills(self) -> int:
        return sum(strike.target in KILLS for strike in (self.strike, *self.during_start))


WEIGHTS = {
    (Target.SERVER, Moment.LOAD): 16,
    (Target.SERVER, Moment.REPLY): 10,
    (Target.SERVER, Moment.SNAPSHOT): 8,
    (Target.BOTH, Moment.LOAD): 12,
    (Target.BOTH, Moment.COMMIT): 12,
    (Target.BOTH, Moment.SNAPSHOT): 4,
    (Target.POSTMASTER, Moment.LOAD): 8,
    (Target.POSTGRES, Moment.LOAD): 8,
    (Target.BACKEND, Moment.LOAD): 6,
    (Target.PAUSE, Moment.LOAD): 5,
    (Target.TERM, Moment.LOAD): 5,
    (Target.TERM, Moment.STOP): 3,
    (Target.CLIENT, Moment.LOAD): 5,
}
START_TARGETS = {Target.SERVER: 4, Target.BOTH: 4, Target.POSTGRES: 2}
START_PROBABILITY = 0.35
LOAD_SECONDS = 0.7
"""Mean load before a strike; what is drawn is between a tenth and three times of it."""


def schedule(seed: int, kills: int) -> list[Round]:
    """Return rounds with at least so many kills. The same seed gives the same rounds, and a longer run begins alike."""
    random = Random(f"nemesis:{seed}")
    rounds: list[Round] = []
    planned = 0
    while planned < kills:
        (target, moment), *_ = random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        load = min(max(random.expovariate(1 / LOAD_SECONDS), LOAD_SECONDS / 10), 3 * LOAD_SECONDS)
        delay = random.choice([0.0, random.uniform(0.0, 0.005), random.uniform(0.0, 0.1)])
        during: list[Strike] = []
        if target in ENDS_SERVER:
            while random.random() < START_PROBABILITY and len(during) < 3:
                (again,) = random.choices(list(START_TARGETS), list(START_TARGETS.values()))
                during.append(Strike(again, Moment.START, random.uniform(0.0, 1.2)))
        made = Round(load, Strike(target, moment, delay), tuple(during))
        rounds.append(made)
        planned += made.kills
    return rounds


class Nemesis:
    """Carries strikes out against one server and its PostgreSQL."""

    def __init__(self, server: ServerProcess, kill_client: Callable[[float], None]) -> None:
        """`kill_client` gets a number from 0 to 1 that chooses."""
        self._server = server
        self._cluster: Cluster = server.cluster
        self._kill_client = kill_client
        self.done: dict[str, int] = {}

    def strike(self, strike: Strike) -> None:
        """Do it. Afterwards the server is dead, or alive and to come back by itself."""
        self.done[str(strike)] = self.done.get(str(strike), 0) + 1
        if strike.moment is Moment.SNAPSHOT:
            self._await_snapshot(self._server.data_dir / "snapshots")
        time.sleep(strike.delay if strike.moment is not Moment.START else 0.0)
        match strike.target:
            case Target.SERVER:
                if strike.moment is Moment.REPLY:
                    self._server.signal(signal.SIGSTOP)
                    time.sleep(FREEZE_SECONDS)
                self._server.kill()
            case Target.BOTH:
                if strike.moment is Moment.COMMIT:
                    send(self._cluster.backends(), signal.SIGSTOP)
                    time.sleep(FREEZE_SECONDS)
                # The server first: it would bring its PostgreSQL back.
                self._server.kill()
                send(self._cluster.processes(), signal.SIGKILL)
            case Target.POSTMASTER:
                if postmaster := self._cluster.postmaster():
                    send([postmaster], signal.SIGKILL)
            case Target.POSTGRES:
                send(self._cluster.processes(), signal.SIGKILL)
            case Target.BACKEND:
                send(self._cluster.backends()[:1], signal.SIGKILL)
            case Target.PAUSE:
                self._server.signal(signal.SIGSTOP)
                time.sleep(0.2 + 8 * strike.delay)
                self._server.signal(signal.SIGCONT)
            case Target.TERM if strike.moment is Moment.STOP:
                self._server.signal(signal.SIGTERM)
                time.sleep(strike.delay)
                self._server.kill()
            case Target.TERM:
                if code := self._server.terminate():
                    raise StuckError(f"an ordered stop ended with code {code}")
            case Target.CLIENT:
                self._kill_client(strike.delay * 1e4 % 1.0)

    @staticmethod
    def _await_snapshot(directory: Path) -> None:
        """Return when a file appears that was not there, or after a while."""
        before = _names(directory)
        deadline = time.monotonic() + SNAPSHOT_WAIT_SECONDS
        while time.monotonic() < deadline and not _names(directory) - before:
            time.sleep(0.001)


def _names(directory: Path) -> set[str]:
    with suppress(OSError):
        return {path.name for path in directory.iterdir()}
    return set()
