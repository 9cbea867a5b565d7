"""What a process knows of the run it takes part in: settings, its users' numbers, the tally."""

import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import gevent
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtest.locust.asked import RefusedError, Request
from loadtest.locust.options import Settings
from loadtest.locust.tally import Tally
from loadtest.stretches import Stretch, stretch

if TYPE_CHECKING:
    from loadtest.checks import Verdict
    from loadtest.locust.connection import Connection

DRAIN_SECONDS = 5.0
"""How long the replies that are due at the end of a run are waited for."""


class Load:
    """One for each Environment."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.tally = Tally()
        self.connections: set[Connection] = set()
        self.settings: Settings | None = None
        self.began = 0.0
        self.draining = False
        self.seed_given = False
        self.drained: set[str] = set()
        """Workers that have nothing in flight any more; the master's."""
        self.verdicts: list[Verdict] | None = None
        """What came of the test that was stopped last in the web page."""
        self._users = 0

    def begin(self) -> Settings:
        """A test starts: read the options anew, for the web page may have changed them. ValueError names a bad one."""
        options = self.environment.parsed_options
        assert options is not None
        self.settings = Settings.from_options(self.environment.host, options)
        self.tally.clear()
        self.draining = False
        self.verdicts = None
        self.began = time.perf_counter()
        return self.settings

    def next_stretch(self) -> Stretch:
        """The stretch of the next user of this process; those of earlier tests are never given again."""
        runner = self.environment.runner
        process = runner.worker_index if isinstance(runner, WorkerRunner) else 0
        self._users += 1
        return stretch(process, self._users - 1)

    def report(self, request: Request, seconds: float, length: int, failure: str | None) -> None:
        """Tell Locust of a request that has ended."""
        self.environment.events.request.fire(
            request_type="tcp",
            name=request.name,
            response_time=seconds * 1e3,
            response_length=length,
            exception=None if failure is None else RefusedError(failure),
            context={},
        )

    def drain(self) -> None:
        """Send nothing more, and wait for what is in flight."""
        self.draining = True
        gevent.joinall([gevent.spawn(connection.drain, DRAIN_SECONDS) for connection in list(self.connections)])


_loads: WeakKeyDictionary[Environment, Load] = WeakKeyDictionary()


def load_of(environment: Environment) -> Load:
    """The one Load of an environment."""
    load = _loads.get(environment)
    if load is None:
        load = _loads[environment] = Load(environment)
    return load
