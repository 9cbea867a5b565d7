"""Signatures: nothing that was changed, is late, or comes again is believed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.rails.signing import (
    KEY,
    NONCE,
    SIGNATURE,
    TIME,
    WINDOW,
    Call,
    Fault,
    KeyFileError,
    Keys,
    Nonces,
    SignatureError,
    new_key_line,
    sign,
    verify,
)

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
OLD, NEW = b"o" * 32, b"n" * 32
KEYS = Keys({"k1": OLD})


def fault_of(headers: dict[str, str], *, keys: Keys = KEYS, method: str = "POST", path: str = "/a?b=1",
             body: bytes = b"{}", now: datetime = NOW) -> Fault:  # fmt: skip
    with pytest.raises(SignatureError) as caught:
        verify(keys, headers, Call(method, path, body), now)
    return caught.value.fault


def test_a_good_one() -> None:
    signed = verify(KEYS, sign(KEYS, Call("post", "/a?b=1", b"{}"), NOW), Call("POST", "/a?b=1", b"{}"), NOW)
    assert (signed.key, signed.at) == ("k1", NOW)


@given(body=st.binary(max_size=60), at=st.integers(0, 59), bit=st.integers(0, 7))
def test_a_bit_of_the_body(body: bytes, at: int, bit: int) -> None:
    headers = sign(KEYS, Call("POST", "/a?b=1", body), NOW)
    changed = bytearray(body or b"x")
    changed[at % len(changed)] ^= 1 << bit
    if bytes(changed) == body:
        return
    assert fault_of(headers, body=bytes(changed)) is Fault.SIGNATURE


@pytest.mark.parametrize(
    "change",
    [{"method": "PUT"}, {"path": "/a?b=2"}, {"path": "/a"}, {"body": b"{} "}, {"path": "/a?b=1{", "body": b"}"}],
)
def test_everything_counts(change: dict[str, str]) -> None:
    assert fault_of(sign(KEYS, Call("POST", "/a?b=1", b"{}"), NOW), **change) is Fault.SIGNATURE  # type: ignore[arg-type]


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_two_requests_have_the_same_signature(path: str, body: str, other_path: str, other_body: str) -> None:
    one = sign(KEYS, Call("POST", path, body.encode()), NOW, "0" * 32)[SIGNATURE]
    other = sign(KEYS, Call("POST", other_path, other_body.encode()), NOW, "0" * 32)[SIGNATURE]
    assert (one == other) == ((path, body) == (other_path, other_body))


@pytest.mark.parametrize("name", [KEY, TIME, NONCE])
@pytest.mark.parametrize("text", ["", "\n", "²", "x" * 40])
def test_a_header_that_is_missing_or_odd(name: str, text: str) -> None:
    headers = sign(KEYS, Call("POST", "/a?b=1", b"{}"), NOW)
    assert fault_of(headers | {name: text}) is Fault.MISSING
    headers.pop(name)
    assert fault_of(headers) is Fault.MISSING


@pytest.mark.parametrize("text", ["", "ü", "0" * 64])
def test_another_signature(text: str) -> None:
    assert fault_of(sign(KEYS, Call("POST", "/a?b=1", b"{}"), NOW) | {SIGNATURE: text}) is Fault.SIGNATURE


@pytest.mark.parametrize(("late", "good"), [(299, True), (-299, True), (301, False), (-301, False), (10**9, False)])
def test_the_clock(late: int, good: bool) -> None:
    headers = sign(KEYS, Call("POST", "/a?b=1", b"{}"), NOW)
    now = NOW + timedelta(seconds=late)
    if good:
        assert verify(KEYS, headers, Call("POST", "/a?b=1", b"{}"), now).at == NOW
    else:
        assert fault_of(headers, now=now) is Fault.CLOCK


def test_the_time_cannot_be_moved_without_the_key() -> None:
    headers = sign(KEYS, Call("POST", "/a?b=1", b"{}"), NOW)
    later = NOW + timedelta(hours=1)
    assert fault_of(headers | {TIME: str(int(later.timestamp() * 1000))}, now=later) is Fault.SIGNATURE


def test_a_replay() -> None:
    nonces = Nonces()
    signed = verify(KEYS, sign(KEYS, Call("POST", "/", b""), NOW), Call("POST", "/"), NOW)
    nonces.take(signed, NOW)
    for moment in (NOW, NOW + WINDOW):
        with pytest.raises(SignatureError) as caught:
            nonces.take(signed, moment)
        assert caught.value.fault is Fault.REPLAY
    nonces.take(verify(KEYS, sign(KEYS, Call("POST", "/", b""), NOW), Call("POST", "/"), NOW), NOW)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-300, 300), st.integers(0, 200)), max_size=60))
def test_nonces_are_kept_as_long_as_they_could_be_used(steps: list[tuple[int, int, int]]) -> None:
    """Whatever the moments: no request that the clock still lets through is taken twice."""
    nonces, seen, now = Nonces(), set[tuple[int, int]](), NOW
    for number, offset, step in steps:
        now += timedelta(seconds=step)
        headers = sign(KEYS, Call("GET", "/"), NOW + timedelta(seconds=offset), f"{number:032x}")
        try:
            signed = verify(KEYS, headers, Call("GET", "/"), now)
            nonces.take(signed, now)
        except SignatureError:
            continue
        assert (number, offset) not in seen
        seen.add((number, offset))


def test_rotation_leaves_no_gap() -> None:
    """New key believed on both sides, then used, then the old one taken away."""
    both, swapped, after = Keys({"k1": OLD, "k2": NEW}), Keys({"k2": NEW, "k1": OLD}), Keys({"k2": NEW})
    for sender, receiver in ((KEYS, both), (both, KEYS), (swapped, both), (both, swapped), (swapped, after)):
        headers = sign(sender, Call("GET", "/"), NOW)
        assert verify(receiver, headers, Call("GET", "/"), NOW).key == next(iter(sender.by_id))
    assert fault_of(sign(KEYS, Call("POST", "/a?b=1", b"{}"), NOW), keys=after) is Fault.KEY


def test_a_file_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "card.keys"
    path.write_text(f"# first one signs\n{new_key_line('k2')}\n{new_key_line('k1')}")
    keys = Keys.read(path)
    assert list(keys.by_id) == ["k2", "k1"]
    assert all(len(secret) == 32 for secret in keys.by_id.values())
    assert "k2" in repr(keys)
    assert keys.by_id["k2"].hex() not in repr(keys)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 are not from 1 to 2"),
        (b"k1 zz", "line 1 is not `ID HEX`"),
        (b"k1", "line 1"),
        (b"k1 00ff", "fewer than 32 bytes"),
        (b"k1 " + b"ab" * 32 + b"\nk1 " + b"cd" * 32, "stands twice"),
        (b"".join(b"k%d " % n + b"ab" * 32 + b"\n" for n in range(3)), "3 are not"),
        (b"\xff\xfe " + b"ab" * 32, "bad name"),
        (b"#" * 5000, "longer than"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "card.keys"
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=words) as caught:
        Keys.read(path)
    assert "abab" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        Keys.read(tmp_path / "none")
