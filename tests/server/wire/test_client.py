"""What clients write is what the parser reads, and what the encoder writes is what clients read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core import records
from engine._core.batch import Batch
from engine.results import AMOUNT_ALL, Status
from server import wire
from server.wire import tools

RNG = np.random.default_rng


def parsed(line: bytes):
    parser = wire.Parser()
    parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)
    batch = Batch()
    parser.feed(line)
    assert parser.parse(batch, 1) == wire.IDLE
    requests = tools.dump(batch)
    assert [request["line"] for request in requests] == [b""] * len(requests)
    return requests


def bits(rng: np.random.Generator, size: int, high: int) -> np.ndarray:
    """Numbers of all lengths, zero and `high` among them."""
    values = rng.integers(0, 2**63, size, np.uint64) >> rng.integers(0, 64, size, np.uint64)
    values[rng.random(size) < 0.1] = high
    return np.minimum(values, np.uint64(high))


def random_transfers(seed: int, size: int) -> np.ndarray:
    rng = RNG(seed)
    made = np.zeros(size, records.TRANSFER_COMMAND)
    for name in made.dtype.names:
        high = 2**63 - 1 if made.dtype[name] == np.uint64 else np.iinfo(made.dtype[name]).max
        if name.endswith(("_lo", "_hi")) or name == "user_data_64":
            high = 2**64 - 1
        made[name] = bits(rng, size, 511 if name == "flags" else high)
        if name in {"pending_id_lo", "pending_id_hi", "user_data_128_lo", "timeout", "timestamp", "user_data_32"}:
            made[name][rng.random(size) < 0.7] = 0
    made["flags"][rng.random(size) < 0.5] = 0
    resolving = made["flags"] & 12 != 0
    made["amount"][resolving & (rng.random(size) < 0.5)] = AMOUNT_ALL
    return made


@given(seed=st.integers(0, 2**32), size=st.integers(0, 20))
def test_transfers_survive_the_way_to_the_batch(seed: int, size: int):
    transfers = random_transfers(seed, size)
    [request] = parsed(wire.encode_create_transfers(seed, transfers))
    assert request["id"] == b"%d" % seed
    assert np.array_equal(request["items"], transfers)
    requests = parsed(wire.encode_single_transfers(seed, transfers))
    assert [request["id"] for request in requests] == [b"%d" % (seed + i) for i in range(size)]
    for index, request in enumerate(requests):
        assert np.array_equal(request["items"], transfers[index : index + 1])


@given(seed=st.integers(0, 2**32), size=st.integers(0, 20))
def test_accounts_updates_and_lookups_survive_too(seed: int, size: int):
    rng = RNG(seed)
    accounts = np.zeros(size, records.ACCOUNT_COMMAND)
    for name in accounts.dtype.names:
        if name != "reserved":
            high = 127 if name == "flags" else min(np.iinfo(accounts.dtype[name]).max, 2**63 - 1)
            accounts[name] = bits(rng, size, high)
    [request] = parsed(wire.encode_create_accounts(-5, accounts))
    assert request["id"] == b"-5"
    assert np.array_equal(request["items"], accounts)

    updates = np.zeros(size, records.UPDATE_COMMAND)
    updates["id"] = bits(rng, size, 2**63 - 1)
    updates["fields"] = rng.integers(0, 4, size)
    updates["overdraft_limit"] = np.where(updates["fields"] & 1, bits(rng, size, 2**63 - 1), 0)
    updates["frozen"] = np.where(updates["fields"] & 2, rng.integers(0, 2, size), 0)
    [request] = parsed(wire.encode_update_accounts(1, updates))
    assert np.array_equal(request["items"], updates)

    ids = rng.integers(0, 2**64, (size, 2), np.uint64)
    [request] = parsed(wire.encode_lookup_transfers(1, ids))
    assert np.array_equal(request["items"].view(np.uint64).reshape(-1, 2), ids)
    ids >>= np.uint64(1)
    [request] = parsed(wire.encode_lookup_accounts(1, ids[:, 0]))
    assert np.array_equal(request["items"]["lo"], ids[:, 0])


def test_without_an_id_only_the_params_are_written():
    transfers = random_transfers(1, 3)
    line = wire.encode_create_transfers(7, transfers)
    params = wire.encode_create_transfers(None, transfers)
    assert line == b'{"id":7,"method":"create_transfers","params":' + params + b"}\n"
    assert wire.encode_lookup_accounts(None, [1, 2]) == b"[1,2]"
    assert wire.encode_lookup_accounts(None, []) == b"[]"


def test_what_the_protocol_cannot_say_is_refused():
    transfers = np.zeros(2, records.TRANSFER_COMMAND)
    transfers["amount"][1] = AMOUNT_ALL
    with pytest.raises(ValueError, match=r"transfers\[1\].amount: only a post or a void may leave it out"):
        wire.encode_create_transfers(1, transfers)
    transfers["flags"][0] = 512
    with pytest.raises(ValueError, match=r"transfers\[0\].flags: 512 has bits without a meaning"):
        wire.encode_single_transfers(1, transfers)
    with pytest.raises(TypeError, match="accounts"):
        wire.encode_create_accounts(1, transfers)
    with pytest.raises(ValueError, match="leaves no room"):
        wire.encode_single_transfers(2**63 - 1, transfers)
    accounts = np.zeros(1, records.ACCOUNT_COMMAND)
    accounts["flags"] = 128
    with pytest.raises(ValueError, match=r"accounts\[0\].flags"):
        wire.encode_create_accounts(1, accounts)


# --- replies ----------------------------------------------------------------------------------------------------------


def random_results(seed: int, size: int) -> np.ndarray:
    rng = RNG(seed)
    results = np.zeros(size, records.RESULT)
    results["status"] = np.where(rng.random(size) < 0.5, 0, rng.integers(0, len(Status), size))
    results["timestamp"] = bits(rng, size, 2**63 - 1)
    return results


def replies_to(sizes: list[int], seed: int, *, strings: bool, jsonrpc: bool) -> tuple[bytes, list[np.ndarray]]:
    """The encoder's bytes for requests with these numbers of items, and the results in them."""
    parser = wire.Parser()
    parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=strings)
    batch = Batch()
    version = b'"jsonrpc":"2.0",' if jsonrpc else b""
    for index, size in enumerate(sizes):
        params = wire.encode_create_transfers(None, np.zeros(size, records.TRANSFER_COMMAND))
        parser.feed(b'{%b"id":%d,"method":"create_transfers","params":%b}\n' % (version, index - 1, params))
    assert parser.parse(batch, 1) == wire.IDLE
    results = [random_results(seed + index, size) for index, size in enumerate(sizes)]
    for index, answer in enumerate(results):
        tools.answer(batch, index, answer)
    [(_, text)] = wire.encode(batch, 2**63 - 7, 5)
    return text, results


SIZES = st.lists(st.integers(0, 5), min_size=1, max_size=8)


@given(sizes=SIZES, seed=st.integers(0, 2**32), strings=st.booleans(), jsonrpc=st.booleans())
def test_replies_of_writes_come_back_as_records(sizes: list[int], seed: int, strings: bool, jsonrpc: bool):
    text, results = replies_to(sizes, seed, strings=strings, jsonrpc=jsonrpc)
    one, many, slow = wire.Reader(), wire.Reader(), wire.Reader()
    many.feed(text)
    replies = many.read_many()
    assert replies.ids.tolist() == list(range(-1, len(sizes) - 1))
    assert replies.seqs.tolist() == [2**63 - 7] * len(sizes)
    assert replies.counts.tolist() == sizes
    assert np.array_equal(replies.results, np.concatenate(results))
    assert many.buffered == 0
    for byte in range(len(text)):
        one.feed(text[byte : byte + 1])
    slow.feed(text.replace(b"{", b"{ "))
    for index, wanted in enumerate(results):
        reply = one.read()
        assert reply is not None
        assert (reply.id, reply.seq, reply.error, reply.method) == (index - 1, 2**63 - 7, None, None)
        assert np.array_equal(reply.results, wanted)
        by_library = slow.read()
        assert by_library is not None
        assert by_library.results is None
        assert [Status[item["status"].upper()] for item in by_library.result] == wanted["status"].tolist()
    assert one.read() is None


@given(seed=st.integers(0, 2**32), size=st.integers(0, 10), blanks=st.booleans())
def test_the_result_alone_can_be_decoded(seed: int, size: int, blanks: bool):
    text, [results] = replies_to([size], seed, strings=False, jsonrpc=False)
    raw = text[text.index(b"[") : text.rindex(b"]") + 1]
    assert np.array_equal(wire.decode_results(raw.replace(b",", b" , ") if blanks else raw), results)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[",
        b"{}",
        b"null",
        b"[1]",
        b'[{"status":"created"}]',
        b'[{"status":"x","timestamp":1}]',
        b'[{"status":"created","timestamp":-1}]',
        b'[{"status":"created","timestamp":1}]]',
        b'[{"status":1,"timestamp":1}]',
    ],
)
def test_a_result_of_another_shape_is_refused(raw: bytes):
    with pytest.raises(ValueError, match="another shape"):
        wire.decode_results(raw)


def test_other_replies_are_read_one_by_one():
    reader = wire.Reader()
    reader.feed(
        b'{"id":1,"result":[{"status":"created","timestamp":5}],"seq":9}\n'
        b'{"id":2,"error":{"code":-32602,"message":"params: no"}}\n'
        b'{"id":"x","result":[null],"seq":9}\n'
        b'{"id":"x","result":[{"status":"exists","timestamp":5}],"seq":9}\n'
        b'{"method":"book","params":{"a":1}}\n'
        b'{"id":null,"error":{"code":-32700,"message":"no"}}\n\n{"id":3'
    )
    assert reader.read_many().ids.tolist() == [1]
    assert len(reader.read_many().ids) == 0
    assert reader.read() == (2, None, None, None, (-32602, "params: no"), None)
    assert reader.read() == ("x", 9, None, [None], None, None)
    reply = reader.read()
    assert reply is not None
    assert reply.id == "x"
    assert reply.results.tolist() == [(5, Status.EXISTS, 0)]
    assert reader.read() == (None, None, None, {"a": 1}, None, "book")
    assert reader.read() == (None, None, None, None, (-32700, "no"), None)
    assert reader.read() is None
    assert reader.buffered == 7


@pytest.mark.parametrize("line", [b"x\n", b"[]\n", b'{"a":1}\n', b'{"id":1,"error":5}\n', b'{"id":1,"error":{}}\n'])
def test_a_line_that_is_no_reply_is_refused(line: bytes):
    reader = wire.Reader()
    reader.feed(line)
    with pytest.raises(ValueError, match="the server sent"):
        reader.read()


def test_a_line_without_an_end_is_refused():
    reader = wire.Reader(line_max=100)
    reader.feed(b"{" * 101)
    with pytest.raises(ValueError, match="more than 100 bytes"):
        reader.read()


def test_every_status_is_read_without_the_library():
    for status in Status:
        reader = wire.Reader()
        reader.feed(b'{"id":1,"result":[{"status":"%b","timestamp":1}],"seq":2}\n' % status.name.lower().encode())
        assert reader.read_many().results.tolist() == [(1, status, 0)]
