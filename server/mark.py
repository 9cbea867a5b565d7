"""What a process knows to be committed, kept beside its snapshots: a restart must find it in the log.

A running process remembers what it has acknowledged or applied, and halts when the log does not hold it any more. One
that is started after a failover of the database that lost commits would not know of them. So its newest row is noted in
its data directory, at most a second old, and the log is asked for that row before anything is made of it.

The note is replaced as a whole and not synced: it outlives the process, and of a power cut what the kernel had written.
An older note, or none, finds less; no note can be newer than the log unless rows are gone.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from server.logs import fault
from server.logs import get as get_logger

SECONDS = 1.0
NAME = "acknowledged.json"


class Mark(NamedTuple):
    """A row that was committed."""

    log_id: str
    seq: int
    hash: str

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Return the mark of a data directory; None when there is none, or none that can be read."""
        try:
            document = json.loads((directory / NAME).read_text("utf-8"))
            mark = cls(str(document["log_id"]), int(document["seq"]), str(document["hash"]))
            bytes.fromhex(mark.hash)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            get_logger().warning("mark_unreadable", **fault(error))
            return None
        return mark

    def write(self, directory: Path) -> None:
        """Replace the mark of a data directory."""
        temporary = directory / f".{NAME}.writing"
        temporary.write_text(json.dumps(self._asdict()) + "\n", "utf-8")
        temporary.replace(directory / NAME)


class Marker:
    """Writes the mark once a second, when there is something new."""

    def __init__(self, directory: Path, log_id: bytes, newest: Callable[[], tuple[int, bytes]]) -> None:
        """`newest`: seq and hash of the newest row that this process knows to be committed."""
        self._directory = directory
        self._log_id = log_id.hex()
        self._newest = newest
        self._written = Mark.read(directory)
        self._failed = False
        self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """Write the last one and end."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.write()

    async def _go_on(self) -> None:
        while True:
            self.write()
            await asyncio.sleep(SECONDS)

    def write(self) -> None:
        """Write it if it is new; a disk that is full does not stop a server for it."""
        seq, log_hash = self._newest()
        mark = Mark(self._log_id, seq, log_hash.hex())
        if mark == self._written:
            return
        try:
            mark.write(self._directory)
        except OSError as error:
            if not self._failed:
                get_logger().warning("mark_not_written", seq=seq, **fault(error))
            self._failed = True
        else:
            self._written, self._failed = mark, False


def put_aside(directory: Path, suffix: str) -> None:
    """Rename the mark: an operator has decided to go on without what it stands for."""
    with contextlib.suppress(FileNotFoundError):
        (directory / NAME).replace(directory / f"{NAME}.{suffix}")
