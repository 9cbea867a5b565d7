"""A locustfile with users that send real data: `locust -f loadtest/locust/real.py --host HOST:PORT Berka`.

The requests are those of `tongbao load berka` and `tongbao load lobster` (loadtest/sources.py), read from the directory
that TONGBAO_SHARED_DATA names. Each user sends its own round, with ids of its own, and stops at its end.
"""

from itertools import count

import msgspec
from locust import events
from locust.exception import StopUser

from loadtest.load.running import Server, set_up
from loadtest.locust.asked import JUDGES, Request, anything
from loadtest.locust.listeners import register
from loadtest.locust.users import AHEAD, TongbaoUser
from loadtest.requests import Script
from loadtest.sources import Source, Wanted, source
from loadtest.workload import Workload

register(events)

ROUND = 40_000
"""Requests of one user. They are made while it starts, which holds the process's other users up for a second."""


class Line(msgspec.Struct):
    """What is looked at of a request."""

    method: str
    params: list[msgspec.Raw]


decode = msgspec.json.Decoder(Line).decode


class RealUser(TongbaoUser):
    """Sends the requests of a source in their order."""

    abstract = True
    data = ""

    def begin(self) -> None:
        """Make the requests, and what the server must hold before them."""
        address = self.settings.address
        if address.tls is not None:
            raise ValueError("tls-ca: real data are sent without TLS")
        seed = (self.settings.workload.seed + self.stretch.number) % 2**63
        made: Source = source(Wanted(self.data, Workload(seed=seed, accounts=3), 1, ROUND))
        assert isinstance(made.requests, Script)
        set_up(Server(address.host, address.port, address.channel, address.key), made.stages)
        self.script, self.numbers = made.requests, count()
        self.lines: list[bytes] = []

    def next_request(self) -> Request:
        """The next one; StopUser behind the last."""
        number = next(self.numbers)
        if number == len(self.script):
            raise StopUser
        if not self.lines:
            ahead = min(AHEAD, len(self.script) - number)
            self.lines = self.script.lines(number, ahead).splitlines(keepends=True)[::-1]
        line = self.lines.pop()
        asked = decode(line)
        return Request(asked.method, number, line, JUDGES.get(asked.method, anything), len(asked.params))


class Berka(RealUser):
    """The transactions of a Czech bank's customers, in booking order."""

    data = "berka"


class Lobster(RealUser):
    """NASDAQ's orders in Amazon: one user, and a fresh server, since their order matters and the book before them."""

    fixed_count = 1
    data = "lobster"
