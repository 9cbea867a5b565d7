"""A server, a follower that publishes, a Redis and a consumer; each is killed on the way; the books must be equal.

`python -m examples.events [transfers]` needs redis-server on the PATH.
"""

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from examples.events.consumer import open_books
from examples.local_server import LocalServer, free_port
from server.client import Account, BlockingClient, Transfer, uuid7

ACCOUNTS = 50
END_SECONDS = 60.0


class Part:
    """One process, which can be killed and started again."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self._process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """As a power cut would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def again(self) -> None:
        """Kill and start."""
        self.kill()
        self._process = self._started()


def main(arguments: Sequence[str]) -> int:
    """Run everything; 0 when the consumer's books are the server's."""
    count = int(arguments[0]) if arguments else 20_000
    program = shutil.which("redis-server")
    if program is None:
        sys.stderr.write("there is no redis-server on the PATH\n")
        return 2
    directory = Path(tempfile.mkdtemp(prefix="tongbao-events-"))
    socket = directory / "redis.sock"
    parts: list[Part] = []
    try:
        with LocalServer(directory / "server") as server:
            redis = Part(
                program, "--port", "0", "--unixsocket", str(socket), "--dir", str(directory), "--save", "",
                "--appendonly", "yes", "--loglevel", "warning",
            )  # fmt: skip
            follower = Part(
                sys.executable, "-m", "server.cli", "follow", "--profile", "small", "--leader-dir",
                str(server.data_dir), "--data-dir", str(directory / "follower"), "--redis-url", f"unix://{socket}",
                "--http-port", str(free_port()), "--log-level", "error",
            )  # fmt: skip
            books = directory / "books.sqlite"
            consumer = Part(sys.executable, "-m", "examples.events.consumer", f"unix://{socket}", str(books))
            parts = [redis, follower, consumer]
            expected = _drive(server, parts, count)
            equal = _wait(books, expected)
            print(f"{count:,} transfers, {len(expected)} accounts: the consumer's books are {'' if equal else 'NOT '}"
                  "the server's")  # fmt: skip
            return 0 if equal else 1
    finally:
        for part in parts:
            part.kill()
        shutil.rmtree(directory, ignore_errors=True)


def _drive(server: LocalServer, parts: list[Part], count: int) -> dict[int, tuple[int, int]]:
    """Transfer, and kill now and then; return debits and credits per account as the server has them."""
    chance = random.Random(7)
    accounts = list(range(1, ACCOUNTS + 1))
    with BlockingClient(server.host, server.port) as client:
        client.create_accounts([Account(id=account, ledger=156, code=2011) for account in accounts])
        sent = 0
        while sent < count:
            some = min(500, count - sent)
            client.create_transfers(
                [
                    Transfer(
                        id=uuid7(), debit_account_id=(pair := chance.sample(accounts, 2))[0], credit_account_id=pair[1],
                        amount=chance.randrange(1, 1000), ledger=156, code=10,
                    )
                    for _ in range(some)
                ]
            )  # fmt: skip
            sent += some
            if chance.random() < 0.1:
                chance.choice(parts).again()
                time.sleep(0.5)
        found = client.lookup_accounts(accounts)
    return {account.id: (account.debits_posted, account.credits_posted) for account in found if account is not None}


def _wait(path: Path, expected: dict[int, tuple[int, int]]) -> bool:
    """Whether the books become what they must be."""
    books = open_books(path)
    end = time.monotonic() + END_SECONDS
    while time.monotonic() < end:
        rows = books.execute("SELECT account, debits, credits FROM books").fetchall()
        if {account: (debits, credit) for account, debits, credit in rows} == expected:
            return True
        time.sleep(0.1)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
