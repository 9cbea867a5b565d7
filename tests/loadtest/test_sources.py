"""Each workload by name: what it sends, that it is the same again, and that every reply to it is judged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadtest.generator import close, connect, finish
from loadtest.loop import LoadError, Loop
from loadtest.requests import Requests, Script
from loadtest.sources import MARKET_WORDS, PREPARED_MAX, Source, SourceError, Wanted, source
from loadtest.workload import Workload
from tests.loadtest.double import serving


def wanted(name: str, count: int | None = 500, **more: Any) -> Wanted:
    return Wanted(name, Workload(seed=5, accounts=200), 3, count, **more)


def lines_of(made: Requests, count: int) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in made.lines(0, count).splitlines()]


@pytest.mark.parametrize("name", ["reads", "orders", "quotes", "bank-day"])
def test_equal_seeds_make_equal_requests(name: str) -> None:
    first, again = source(wanted(name)), source(wanted(name))
    assert first.requests.lines(0, 300) == again.requests.lines(0, 300)
    other = source(Wanted(name, Workload(seed=6, accounts=200), 3, 500))
    assert first.requests.lines(0, 300) != other.requests.lines(0, 300)


def test_orders_of_a_connection_cancel_what_it_entered() -> None:
    made = source(wanted("orders"))
    assert made.count is not None
    assert made.count % (64 * 3) == 0
    for connection in range(3):
        own = lines_of(made.requests, made.count)[connection::3]
        entered = {line["params"][0]["client_order_id"] for line in own if line["method"] == "submit_orders"}
        changed = {line["params"][0]["client_order_id"] for line in own if line["method"] != "submit_orders"}
        assert changed <= entered
        assert len({line["params"][0]["account_id"] for line in own}) == 1


def test_a_bank_day_has_every_activity_and_no_id_twice() -> None:
    made = source(wanted("bank-day", 3_000))
    lines = lines_of(made.requests, 3_000)
    assert set(made.requests.kinds) == {"payment", "salaries", "balance", "statement", "order"}
    methods = {line["method"] for line in lines}
    assert {"create_transfers", "lookup_accounts", "get_account_transfers", "submit_orders"} <= methods
    ids = [item["id"] for line in lines if line["method"] == "create_transfers" for item in line["params"]]
    assert len(ids) == len(set(ids)) > 1_000


def test_numbers_beyond_the_last_begin_again() -> None:
    made = source(wanted("reads", 50)).requests
    assert isinstance(made, Script)
    first = [line.partition(b",")[2] for line in made.lines(0, len(made)).splitlines()]
    again = [line.partition(b",")[2] for line in made.lines(len(made), len(made)).splitlines()]
    assert first == again


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "is none of transfers, reads"),
        ("no.such.module:source", "cannot be had"),
        ("tests.loadtest.test_sources:no_source", "gave int instead of a Source"),
    ],
)
def test_what_is_no_workload(name: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        source(wanted(name))


def no_source(_: Wanted) -> int:
    return 3


def own_source(each: Wanted) -> Source:
    return Source(Requests(each.workload, items=7))


def test_a_workload_of_ones_own() -> None:
    assert source(wanted("tests.loadtest.test_sources:own_source")).requests.items == 7


def test_what_does_not_fit_into_memory_is_refused_beforehand() -> None:
    with pytest.raises(SourceError, match="at most 5,000,000; take a lower rate or fewer seconds"):
        source(wanted("orders", PREPARED_MAX + 1))


@pytest.mark.parametrize("name", ["berka", "lobster"])
def test_real_data_that_are_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"the data of {name} are not in .*; give --data"):
        source(wanted(name, data=tmp_path))


# --- judging replies --------------------------------------------------------------------------------


def judged(answers: Sequence[bytes], counts: Sequence[int], words: Sequence[str] = ()) -> dict[str, Any]:
    """Send a line for each answer to a server that answers so, whatever it is asked."""
    pending = list(answers)

    def instead(data: bytes, _: int) -> bytes:
        found = [pending.pop(0) for _ in data.splitlines()]
        return b"".join(found)

    lines = [b',"method":"ping","params":{}}\n'] * len(answers)
    script = Script(lines, counts, [0] * len(lines), names=("asked",), reply_bytes=4_000)
    with serving(instead) as (port, _):
        sockets = connect("127.0.0.1", port, 1)
        try:
            return finish(Loop(script, sockets, depth=1, seconds=20, count=len(lines), words=words, stalled_after=5))
        finally:
            close(sockets)


NEW = b'{"status":"new","order_id":1,"fills":[{"exec_id":5,"price":3}],"timestamp":9}'
LATE = b'{"status":"rejected","reason":"order_closed","order_id":1,"fills":[],"timestamp":9}'
POOR = b'{"status":"rejected","reason":"insufficient_funds","order_id":1,"fills":[],"timestamp":9}'


def reply(number: int, *results: bytes) -> bytes:
    return b'{"id":%d,"result":[%s],"seq":7}\n' % (number, b",".join(results))


def test_results_are_counted_by_status_or_reason() -> None:
    found = judged([reply(0, NEW, LATE), reply(1, POOR), reply(2, NEW)], [2, 1, 0], MARKET_WORDS)
    assert found["statuses"] == {"new": 2, "order_closed": 1, "insufficient_funds": 1}
    assert (found["requests_unexpected"], found["ok"]) == (1, False)
    assert "insufficient_funds" in found["kept"][0]


@pytest.mark.parametrize(
    ("results", "count", "good"),
    [
        ([b'{"id":1}', b'{"id":2}'], 2, True),
        ([b'{"id":1}', b'{"id":2}'], 3, False),
        ([b'{"id":1}', b"null"], 2, False),
        ([], 0, True),
        ([b'{"id":1,"name":"}{"}'], 1, True),
    ],
)
def test_results_of_reads_are_counted(results: list[bytes], count: int, good: bool) -> None:
    found = judged([reply(0, *results)], [count])
    assert found["ok"] is good
    assert found["requests_unexpected"] == (not good)


def test_an_error_is_counted_by_its_code() -> None:
    found = judged([b'{"id":0,"error":{"code":-32003,"message":"busy"},"seq":1}\n'], [1])
    assert found["errors"] == {"-32003": 1}
    assert not found["ok"]


@pytest.mark.parametrize(
    "line",
    [b'{"id":1,"result":[],"seq":7}\n', b'{"id":0,"result":[]}\n', b'{"id":0,"result":[],"seq":7},\n', b"nonsense\n"],
)
def test_what_is_no_reply_ends_the_run(line: bytes) -> None:
    with pytest.raises(LoadError, match="not the reply that was due"):
        judged([line], [0])
