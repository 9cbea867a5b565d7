"""The follower's sink: makes the events of each row once, and gives them to every publisher."""

import asyncio
from collections.abc import Sequence

from engine import Batch, Engine
from server.events.maker import Maker
from server.events.publisher import Publisher
from server.journal import Row
from server.metrics import Metrics


class Events:
    """See the head of this file."""

    name = "events"

    def __init__(self, publishers: Sequence[Publisher], metrics: Metrics) -> None:
        self.publishers = publishers
        self._maker: Maker | None = None
        metrics.publishers = lambda: [publisher.numbers() for publisher in publishers]

    async def positions(self) -> list[int]:
        """How far the targets are that can be reached. Raises EventsError when one cannot be ours."""
        found = [await publisher.check() for publisher in self.publishers]
        return [seq for seq in found if seq is not None]

    @property
    def needed(self) -> int:
        """The row that the slowest target has: behind it events may have to be made again."""
        return min((publisher.settled_seq for publisher in self.publishers), default=0)

    def begin(self, engine: Engine, seq: int) -> None:
        """The engine stands at row `seq`; from now on it is told of every row."""
        self._maker = Maker(engine)
        for publisher in self.publishers:
            publisher.backlog.begin(seq)
            publisher.target.begin(engine)

    def applied(self, row: Row, batch: Batch | None) -> None:
        """Make the events of a row that was just applied."""
        assert self._maker is not None
        made = self._maker.of(row, batch)
        for publisher in self.publishers:
            publisher.backlog.add(made)

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            for publisher in self.publishers:
                group.create_task(publisher.run())

    async def finish(self, seconds: float) -> None:
        """Give all some time to publish what was applied."""
        await asyncio.gather(*(publisher.finish(seconds) for publisher in self.publishers))

    def health(self) -> dict[str, object]:
        """Say how far each is."""
        return {publisher.name: publisher.health() for publisher in self.publishers}
