"""Channels: the file, keys, signatures, the throttle, the rates."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server import channels
from server.channels import Channel, Channels, ChannelsError, ChannelUse, LogonThrottle, generate_key, signature

SECRET = "s3cret-of-the-gateway-0123456789abcdef"
NOW = 1_795_350_000 * 10**9


def write(path: Path, text: str) -> Path:
    file = path / "channels.toml"
    file.write_text(text, "utf-8")
    return file


def load(path: Path, text: str, **environment: str) -> Channels:
    return Channels.from_file(write(path, text), environment)


def logon(book: Channels, now: int = NOW, **params: Any) -> Channel | None:
    full = {"key": None, "timestamp": None, "nonce": None, "signature": None} | params
    return book.logon(SimpleNamespace(**full), now)  # type: ignore[arg-type]


def signed(timestamp: int, nonce: str = "nonce-0001", channel: str = "wallet", secret: str = SECRET) -> dict[str, Any]:
    return {
        "channel": channel,
        "timestamp": timestamp,
        "nonce": nonce,
        "signature": signature(secret.encode(), channel, timestamp, nonce),
    }


def test_a_whole_file(tmp_path: Path) -> None:
    key, stored = generate_key()
    (tmp_path / "secret").write_text(SECRET + "\n")
    book = load(
        tmp_path,
        f"""
        [channels.mobile]
        permissions = ["transfers", "read"]
        key = "{stored}"
        scope = 1
        accounts = ["1000-1999", 5001, 2000, "1500-1600"]
        connections_max = 3
        window = 10
        requests_per_second = 100
        [channels.wallet]
        permissions = ["accounts"]
        hmac_secret_file = "{tmp_path / "secret"}"
        [channels.atm]
        permissions = []
        hmac_secret_env = "ATM"
        scope = 1
        accounts = ["1000-2000", 5001]
        """,
        ATM=SECRET,
    )
    assert len(book) == 3
    assert book.scopes() == {1: ((1000, 2000), (5001, 5001))}
    mobile = logon(book, channel="mobile", key=key)
    assert mobile is not None
    assert mobile.permissions == ("read", "transfers")
    assert mobile.connections_max == 3
    assert "create_transfers" in mobile.methods
    assert "create_accounts" not in mobile.methods
    assert stored not in repr(mobile)
    assert SECRET not in repr(logon(book, **signed(NOW)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no"),
        ("[channel.a]\n", "unknown table 'channel'"),
        ("[channels.a]\nkey = 5", "channels.a.key: is not a str"),
        ("[channels.a]\nkeys = 'x'", "channels.a.keys: unknown"),
        ("[channels.a]\nkey = 'hunter2'", "channels.a.key: is not the salted hash"),
        ("[channels.a]\npermissions = ['read']", "channels.a: has neither key nor"),
        ("[channels.a]\npermissions = ['all']", "channels.a.permissions: 'all' is not one of"),
        ("[channels.a]\nhmac_secret_env = 'NONE'", "channels.a.hmac_secret_env: the secret has fewer than 32"),
        ("[channels.a]\nhmac_secret_file = '/nowhere'", "channels.a.hmac_secret_file: FileNotFoundError"),
        ("[channels.a]\nKEY\nscope = 1", "channels.a.scope: scope (1 or more) and accounts are given together"),
        ("[channels.a]\nKEY\naccounts = [1]", "channels.a.scope: scope (1 or more) and accounts are given together"),
        ("[channels.a]\nKEY\nscope = 1\naccounts = [0]", "channels.a.accounts[0]: is not a range of account ids"),
        ("[channels.a]\nKEY\nscope = 1\naccounts = ['9-1']", "channels.a.accounts[0]: is not a range"),
        ("[channels.a]\nKEY\nscope = 1\naccounts = [1, 'x']", "channels.a.accounts[1]: is neither an id nor"),
        ("[channels.a]\nKEY\nwindow = 0", "channels.a.window: 0 is too small"),
        ("[channels.'a b']\nKEY", "channels.a b: a name has"),
        ("[channels.a]\nKEY\nscope=1\naccounts=[1]\n[channels.b]\nKEY\nscope=1\naccounts=[2]",
         "channels.b.scope: 1 is also that of a, with other accounts"),
    ],
)  # fmt: skip
def test_a_wrong_file_names_channel_and_member(tmp_path: Path, text: str, message: str) -> None:
    text = text.replace("KEY", f"key = '{generate_key()[1]}'")
    with pytest.raises(ChannelsError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_keys(tmp_path: Path) -> None:
    key, stored = generate_key()
    other, _ = generate_key()
    assert key != other
    book = load(tmp_path, f"[channels.a]\nkey = '{stored}'\n[channels.h]\nhmac_secret_env = 'S'", S=SECRET)
    assert logon(book, channel="a", key=key) is not None
    for name, wrong in (("a", other), ("a", ""), ("a", key + "x"), ("b", key), ("h", key), ("h", ""), ("h", SECRET)):
        assert logon(book, channel=name, key=wrong) is None, (name, wrong)
    assert logon(book, **signed(NOW, channel="a", secret=key)) is None, "a key is not an HMAC secret"


def test_signatures(tmp_path: Path) -> None:
    book = load(tmp_path, "[channels.wallet]\nhmac_secret_env = 'S'", S=SECRET)
    assert logon(book, **signed(NOW)) is not None
    assert logon(book, **signed(NOW)) is None, "the same nonce again"
    assert logon(book, **signed(NOW + 1)) is None, "the same nonce with another time"
    for number, timestamp in enumerate((NOW - 29 * 10**9, NOW + 29 * 10**9, NOW // 10**3, NOW // 10**6, NOW // 10**9)):
        assert logon(book, **signed(timestamp, f"fresh-nonce-{number}")) is not None, timestamp
    for number, timestamp in enumerate((NOW - 31 * 10**9, NOW + 31 * 10**9, 0, 1, NOW // 10**9 - 31, 2**63)):
        assert logon(book, **signed(timestamp, f"stale-nonce-{number}")) is None, timestamp
    good = signed(NOW, "another-nonce")
    assert logon(book, **good | {"nonce": "tampered-nonce"}) is None
    assert logon(book, **good | {"timestamp": NOW - 1}) is None
    assert logon(book, **good | {"signature": "0" * 64}) is None
    assert logon(book, **good | {"signature": "short"}) is None
    assert logon(book, **signed(NOW, "another-nonce", channel="nobody")) is None
    assert logon(book, **signed(NOW, "short")) is None
    assert logon(book, **good | {"signature": good["signature"].upper(), "timestamp": str(NOW)}) is not None


def test_a_replayed_logon_stays_refused_for_as_long_as_its_time_is_valid(tmp_path: Path) -> None:
    book = load(tmp_path, "[channels.wallet]\nhmac_secret_env = 'S'", S=SECRET)
    ahead = signed(NOW + 29 * 10**9)
    assert logon(book, now=NOW, **ahead) is not None
    for later in range(1, 120):
        assert logon(book, now=NOW + later * 10**9, **ahead) is None


def test_nonces_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "NONCES_MAX", 5)
    book = load(tmp_path, "[channels.wallet]\nhmac_secret_env = 'S'", S=SECRET)
    assert all(logon(book, **signed(NOW, f"nonce-{number:04d}")) for number in range(5))
    assert logon(book, **signed(NOW, "nonce-0005")) is None
    later = NOW + 61 * 10**9
    assert logon(book, now=later, **signed(later, "nonce-0006")) is not None


def test_throttle_counts_per_address_and_minute() -> None:
    throttle = LogonThrottle(3)
    for _ in range(3):
        assert throttle.allows("10.0.0.1", 5.0)
        throttle.failed("10.0.0.1", 5.0)
    assert not throttle.allows("10.0.0.1", 64.9)
    assert throttle.allows("10.0.0.2", 6.0)
    assert throttle.allows("10.0.0.1", 65.0)
    throttle.failed("10.0.0.1", 65.0)
    assert throttle.allows("10.0.0.1", 66.0)


def test_token_bucket_holds_the_rate_over_time() -> None:
    use = ChannelUse(Channel("a", (), requests_per_second=100, requests_burst=50), 0.0)
    assert use.take(50, 0.0) == 0
    wait = use.take(10, 0.0)
    assert wait == pytest.approx(0.1)
    assert use.take(1, 0.2) == 0
    now = accepted = 0.0
    use = ChannelUse(Channel("a", (), requests_per_second=100), 0.0)
    while now < 10:
        accepted += 7
        now += use.take(7, now)
    assert accepted <= 100 * 10 + 200 + 7
    assert ChannelUse(Channel("a", ()), 0.0).take(10**9, 0.0) == 0
