"""One log, several hosts: the one that takes writes is found, whatever the others do."""

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from examples.local_server import free_port
from server.journal import Journal, PostgresUnavailable
from server.journal.hosts import Host, hosts_of


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("postgresql://a/tongbao", [("a", 5432)]),
        (
            "postgresql://u:p%40x@a,b:5433,c/tongbao?target_session_attrs=read-write",
            [("a", 5432), ("b", 5433), ("c", 5432)],
        ),
        ("postgresql://u@[::1]:5433,[2001:db8::7]/tongbao", [("::1", 5433), ("2001:db8::7", 5432)]),
        ("postgresql://u@%2Frun%2Fone:5433,b/tongbao", [("/run/one", 5433), ("b", 5432)]),
        ("postgresql:///tongbao?host=a,b&port=5433,5434&user=u", [("a", 5433), ("b", 5434)]),
        ("postgresql:///tongbao?host=a,b&port=5433", [("a", 5433), ("b", 5433)]),
        ("postgresql:///tongbao", []),
    ],
)
def test_hosts_of_a_connection_string(monkeypatch: pytest.MonkeyPatch, dsn: str, hosts: list[tuple[str, int]]) -> None:
    for name in ("PGHOST", "PGPORT"):
        monkeypatch.delenv(name, raising=False)
    assert list(hosts_of(dsn)) == [Host(*one) for one in hosts]


@pytest.fixture
async def silent() -> AsyncIterator[int]:
    """A machine that is cut off: it takes the connection and never says anything."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    for writer in held:
        writer.close()
    server.close()


def several(database: str, *ports: int) -> str:
    """The test's database behind other machines."""
    parts = urlsplit(database)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    others = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://{query['user']}@{others},{quote(query['host'], safe='')}:{query['port']}{parts.path}"


async def test_the_primary_is_found_behind_one_that_is_silent_and_one_that_refuses(database: str, silent: int) -> None:
    """asyncpg asks one after the other, and the first would use up all its time."""
    dsn = several(database, silent, free_port()) + "?target_session_attrs=read-write"
    began = time.monotonic()
    journal = await Journal.open(dsn, wait=0.0)
    assert await journal.take_over()
    assert await journal.append(time.time_ns(), b"x") == 2
    assert time.monotonic() - began < 3.0
    reader = await Journal.open(dsn, wait=5.0, read_only=True)
    assert reader.head.seq == 2
    await reader.close()
    await journal.close()


async def test_what_each_host_said_is_told(database: str) -> None:
    wrong = several(database, free_port()).replace("/test_", "/missing_")
    with pytest.raises(
        PostgresUnavailable, match=r"no host serves: 127\.0\.0\.1:\d+: .*; .*: database .* does not exist"
    ):
        await Journal.open(wrong, wait=0.0)
