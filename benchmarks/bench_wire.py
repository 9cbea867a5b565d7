"""The wire alone: nanoseconds per message or item, parsing and encoding. No socket, no ledger, no log.

Each figure is the best of many rounds of CPU time (the machine is shared, and noise only adds), beside the median. All
rounds check what came out. For comparison the same lines go through msgspec into typed structs, and the replies
are encoded by it.
"""

import json
import time
from collections.abc import Callable, Iterator
from random import Random
from statistics import median
from typing import Any

import msgspec
import numpy as np

from benchmarks.figures import Figure, main
from engine._core import records
from engine._core.batch import Batch
from server import wire
from server.wire import tools

MESSAGES = 2_000
ITEMS = 1_000
ROUNDS = 25
TIME = 1_795_350_000_000_000_001


class Transfer(msgspec.Struct, forbid_unknown_fields=True):
    """What msgspec decodes an item into."""

    id: str
    debit_account_id: int
    credit_account_id: int
    amount: int
    ledger: int
    code: int


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What msgspec decodes a line into."""

    id: int
    method: str
    params: list[Transfer]


def transfers(count: int) -> np.ndarray[Any, np.dtype[np.void]]:
    """Plain transfers with amounts and account ids of all usual lengths."""
    rng = np.random.default_rng(7)
    made = np.zeros(count, records.TRANSFER_COMMAND)
    made["id_hi"] = rng.integers(0, 2**63, count, np.uint64)
    made["id_lo"] = rng.integers(0, 2**63, count, np.uint64)
    made["debit_account_id"] = rng.integers(1, 10**7, count)
    made["credit_account_id"] = rng.integers(1, 10**7, count)
    made["amount"] = (10 ** rng.uniform(1, 8, count)).astype(np.uint64)
    made["ledger"] = 156
    made["code"] = rng.integers(1, 100, count)
    return made


def respelt(lines: bytes, *, envelope: bool, blanks: bool = False) -> bytes:
    """The same requests with members in random order, or with the blanks that json.dumps writes."""
    random = Random(7)
    out = []
    for line in lines.splitlines():
        request = json.loads(line)
        if not blanks:
            for index, item in enumerate(request["params"]):
                members = list(item.items())
                random.shuffle(members)
                request["params"][index] = dict(members)
        members = list(request.items())
        if envelope:
            random.shuffle(members)
        out.append(json.dumps(dict(members), separators=(", ", ": ") if blanks else (",", ":")).encode())
    return b"\n".join(out) + b"\n"


def timed(work: Callable[[], int], per: int) -> tuple[float, float]:
    """Best and median nanoseconds per piece; `work` does one round and gives its CPU time."""
    spent = [work() / per for _ in range(ROUNDS)]
    return min(spent), median(spent)


def figure(name: str, times: tuple[float, float], size: float | None = None) -> Figure:
    """The figure of `timed`, with the bytes of a piece."""
    best, middle = times
    note = f"median {middle:.1f}" if size is None else f"median {middle:.1f}; {size:.0f} bytes"
    return Figure(f"wire/{name}", best, "ns", note, {"median": middle})


def parsing(name: str, lines: bytes, items: int, kind: str = "transfers") -> Figure:
    """Parse all lines into one batch."""
    batch = Batch()
    parser = wire.Parser(batch_items_max=2**30)
    parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)

    def work() -> int:
        tools.clear(batch)
        parser.feed(lines)
        start = time.thread_time_ns()
        outcome = parser.parse(batch, 1)
        spent = time.thread_time_ns() - start
        if outcome != wire.IDLE or tools.counts(batch)[kind] != items:
            raise AssertionError(f"{name}: {outcome}, {tools.counts(batch)}")
        return spent

    return figure(name, timed(work, items), len(lines) / items)


def encoding(name: str, requests: int, items: int, *, strings: bool = False) -> Figure:
    """Encode the replies of `requests` requests of `items` items each."""
    batch = Batch()
    parser = wire.Parser(batch_items_max=2**30)
    parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=strings)
    made = transfers(requests * items)
    for index in range(requests):
        parser.feed(wire.encode_create_transfers(index, made[index * items : (index + 1) * items]))
    if parser.parse(batch, 1) != wire.IDLE:
        raise AssertionError(name)
    results = np.zeros(items, records.RESULT)
    for index in range(requests):
        results["timestamp"] = np.arange(TIME + index * items, TIME + (index + 1) * items)
        tools.answer(batch, index, results)
    length = 0

    def work() -> int:
        nonlocal length
        start = time.thread_time_ns()
        [(_, text)] = wire.encode(batch, 123_456, TIME)
        spent = time.thread_time_ns() - start
        length = len(text)
        return spent

    times = timed(work, requests * items)
    [(_, text)] = wire.encode(batch, 123_456, TIME)
    replies = [json.loads(line) for line in text.splitlines()]
    stamps = [int(item["timestamp"]) for reply in replies for item in reply["result"]]
    if stamps != list(range(TIME, TIME + requests * items)):
        raise AssertionError(f"{name}: the replies are not those of the results")
    return figure(name, times, length / requests / items)


def reading(name: str) -> Figure:
    """Read replies of single writes into arrays, as a client does."""
    lines = b"".join(
        b'{"id":%d,"result":[{"status":"created","timestamp":%d}],"seq":123456}\n' % (index, TIME + index)
        for index in range(MESSAGES)
    )
    reader = wire.Reader()

    def work() -> int:
        reader.feed(lines)
        start = time.thread_time_ns()
        replies = reader.read_many()
        spent = time.thread_time_ns() - start
        if replies.results["timestamp"].tolist() != list(range(TIME, TIME + MESSAGES)):
            raise AssertionError(name)
        return spent

    return figure(name, timed(work, MESSAGES), len(lines) / MESSAGES)


def writing(name: str) -> Figure:
    """Write single requests from records, as a client does."""
    made = transfers(MESSAGES)

    def work() -> int:
        start = time.thread_time_ns()
        text = wire.encode_single_transfers(1, made)
        spent = time.thread_time_ns() - start
        if text.count(b"\n") != MESSAGES:
            raise AssertionError(name)
        return spent

    return figure(name, timed(work, MESSAGES))


def by_msgspec(name: str, lines: bytes) -> Figure:
    """Decode the same lines into typed structs, without filling commands from them."""
    decoder = msgspec.json.Decoder(Request)
    split = lines.splitlines()

    def work() -> int:
        start = time.thread_time_ns()
        requests = [decoder.decode(line) for line in split]
        spent = time.thread_time_ns() - start
        if len(requests) != len(split):
            raise AssertionError(name)
        return spent

    return figure(name, timed(work, len(split)))


def encoded_by_msgspec(name: str) -> Figure:
    """Encode single replies from dictionaries."""
    replies = [
        {"id": index, "result": [{"status": "created", "timestamp": TIME + index}], "seq": 123_456}
        for index in range(MESSAGES)
    ]
    encode = msgspec.json.Encoder().encode

    def work() -> int:
        start = time.thread_time_ns()
        text = b"\n".join([encode(reply) for reply in replies])
        spent = time.thread_time_ns() - start
        if text.count(b"\n") != MESSAGES - 1:
            raise AssertionError(name)
        return spent

    return figure(name, timed(work, MESSAGES))


def measure(_: bool) -> Iterator[Figure]:
    """All figures; there is one size."""
    single = wire.encode_single_transfers(1, transfers(MESSAGES))
    many = b"".join(wire.encode_create_transfers(index, transfers(ITEMS)) for index in range(4))
    shuffled = respelt(single, envelope=False)
    yield parsing("parse, canonical order", single, MESSAGES)
    yield parsing("parse, members of the item shuffled", shuffled, MESSAGES)
    yield parsing("parse, all members shuffled", respelt(single, envelope=True), MESSAGES)
    yield parsing("parse, with the blanks of json.dumps", respelt(single, envelope=False, blanks=True), MESSAGES)
    yield parsing("parse, batches of 1,000, per item", many, 4 * ITEMS)
    yield parsing("parse, batches of 1,000 shuffled, per item", respelt(many, envelope=True), 4 * ITEMS)
    lookups = b"".join(b'{"id":%d,"method":"lookup_accounts","params":[%d]}\n' % (i, 7 * i) for i in range(MESSAGES))
    yield parsing("parse, lookup of one account", lookups, MESSAGES, "ids")
    yield by_msgspec("msgspec decodes the same, canonical order", single)
    yield by_msgspec("msgspec decodes the same, shuffled", shuffled)
    yield encoding("encode, one result", MESSAGES, 1)
    yield encoding("encode, one result, 64-bit values as strings", MESSAGES, 1, strings=True)
    yield encoding("encode, batches of 1,000, per result", 4, ITEMS)
    yield encoded_by_msgspec("msgspec encodes the same, one result")
    yield writing("client writes a request")
    yield reading("client reads a reply")


if __name__ == "__main__":
    main(__doc__, measure)
