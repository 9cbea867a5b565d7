"""Every command against a real server."""

import csv
import http.server
import io
import shutil
import subprocess
import threading
import tomllib
from pathlib import Path

import pyarrow.parquet
import pytest

from examples.local_server import LocalServer, free_port
from server.cli.common import Exit
from server.client import BlockingClient, Logon, tls_context
from tests.server.cli.conftest import Tongbao


@pytest.fixture(scope="module")
def ids() -> dict[str, int]:
    return {"next": 10_000}


def fresh(ids: dict[str, int], count: int) -> list[int]:
    first = ids["next"]
    ids["next"] += count
    return list(range(first, first + count))


@pytest.fixture
def pair(dev: Tongbao, ids: dict[str, int]) -> list[int]:
    pair = fresh(ids, 2)
    for account in pair:
        outcome = dev("accounts", "create", account, "--ledger", 156, "--code", 10, "--flag", "history")
        assert outcome.code == 0
    return pair


def pay(dev: Tongbao, debit: int, credit: int, amount: int, *more: object) -> str:
    outcome = dev(
        "transfer", "--debit", debit, "--credit", credit, "--amount", amount, "--ledger", 156, "--code", 1, *more
    )
    assert outcome.code == 0, outcome
    return outcome.out.split()[0]


def test_create_look_up_update(dev: Tongbao, ids: dict[str, int]) -> None:
    (account,) = fresh(ids, 1)
    create = ["accounts", "create", account, "--ledger", 156, "--code", 2011, "--user-data-64", 7]
    flags = ["--flag", "debits_must_not_exceed_credits", "--flag", "history", "--overdraft-limit", 500]
    first = dev(*create, *flags, "--json")
    assert (first.code, first.json["status"]) == (0, "created")
    again = dev(*create, *flags, "--json")
    assert (again.code, again.json) == (0, {"status": "exists", "timestamp": first.json["timestamp"]})
    other = dev(*create, "--json")
    assert (other.code, other.json["status"]) == (Exit.ITEM_REFUSED, "exists_with_different_flags")
    assert dev("accounts", "update", account, "--overdraft-limit", 900, "--frozen").out.startswith("updated ")
    found = dev("accounts", "lookup", account, "--json").json[0]
    assert (found["overdraft_limit"], found["user_data_64"], found["code"]) == (900, 7, 2011)
    assert set(found["flags"]) == {"debits_must_not_exceed_credits", "history", "frozen"}
    assert dev("accounts", "update", account, "--no-frozen").code == 0
    assert "frozen" not in dev("accounts", "lookup", account).out
    assert dev("accounts", "update", 999_999, "--frozen").code == Exit.ITEM_REFUSED
    missing = dev("accounts", "lookup", account, 999_999)
    assert missing.code == Exit.NOT_FOUND
    assert "no such account: 999999" in missing.err
    assert dev("accounts", "lookup", 999_999, "--json").json == [None]


def test_list(dev: Tongbao, ids: dict[str, int]) -> None:
    accounts = fresh(ids, 3)
    for account in accounts:
        dev("accounts", "create", account, "--ledger", 978, "--code", 77)
    listed = dev("accounts", "list", "--ledger", 978, "--code", 77, "--json").json
    assert [item["id"] for item in listed] == accounts
    newest = dev("accounts", "list", "--ledger", 978, "--newest", "--limit", 2, "--json").json
    assert [item["id"] for item in newest] == accounts[:0:-1]
    assert dev("accounts", "list", "--ledger", 4_000_000_000, "--json").json == []
    assert str(accounts[0]) in dev("accounts", "list", "--ledger", 978).out
    assert dev("accounts", "list", "--limit", 100_000).code == Exit.REQUEST_REFUSED


def test_transfer_history_and_look_up(dev: Tongbao, pair: list[int]) -> None:
    debit, credit = pair
    first = pay(dev, debit, credit, 100)
    pay(dev, debit, credit, 23, "--user-data-32", 5)
    again = dev(
        "transfer", "--id", first, "--debit", debit, "--credit", credit, "--amount", 100, "--ledger", 156, "--code", 1
    )
    assert (again.code, again.out.split()[:2]) == (0, [first, "exists"])
    listed = dev("transfers", debit, "--json").json
    assert [item["amount"] for item in listed] == [100, 23]
    assert listed[1]["user_data_32"] == 5
    assert [item["amount"] for item in dev("transfers", debit, "--newest", "--limit", 1, "--json").json] == [23]
    assert dev("transfers", debit, "--credits", "--json").json == []
    assert dev("transfers", "--id", first, "--json").json[0]["amount"] == 100
    assert dev("transfers", "--id", first, "--id", "00000000-0000-0000-0000-00000000beef").code == Exit.NOT_FOUND
    history = dev("accounts", "history", credit, "--json").json
    assert [item["credits_posted"] for item in history] == [100, 123]
    assert "123" in dev("accounts", "history", credit).out
    assert first in dev("transfers", debit).out


def test_two_phases(dev: Tongbao, pair: list[int]) -> None:
    held = pay(dev, *pair, 80, "--flag", "pending", "--expires", 3600)
    post = dev("transfer", "--pending-id", held, "--flag", "post_pending_transfer", "--amount", 30, "--json")
    assert (post.code, post.json["status"]) == (0, "created")
    void = dev("transfer", "--pending-id", held, "--flag", "void_pending_transfer", "--json")
    assert (void.code, void.json["status"]) == (Exit.ITEM_REFUSED, "pending_transfer_already_posted")
    (item,) = dev("transfers", "--id", held, "--json").json
    assert (item["status"], item["timeout"]) == ("posted", 3600)


def test_refusals_of_the_whole_request(dev: Tongbao, ids: dict[str, int]) -> None:
    (account,) = fresh(ids, 1)
    dev("accounts", "create", account, "--ledger", 156, "--code", 10)
    outcome = dev("accounts", "history", account)
    assert outcome.code == Exit.REQUEST_REFUSED
    assert "the server refused the request" in outcome.err


def test_status(dev: Tongbao, server: LocalServer) -> None:
    outcome = dev("status", "--http-port", server.http_port)
    assert outcome.code == 0
    assert "ready" in outcome.out
    report = dev("status", "--json").json
    assert report["status"] == "ready"
    assert report["server"]["port"] == server.port
    assert report["time"] > 0


def test_status_of_a_server_that_does_not_serve(tongbao: Tongbao, server: LocalServer) -> None:
    # Its health port answers, and nobody listens at the address: as while it recovers.
    outcome = tongbao("status", "--connect", "127.0.0.1:1", "--http-port", server.http_port, "--json")
    assert outcome.code == Exit.UNREACHABLE  # that health port says "ready", so the address is wrong
    assert outcome.json["health"]["ready"] is True


def test_status_of_a_server_that_recovers(tongbao: Tongbao) -> None:
    """What the health port says while the TCP port is not open yet; the answer is the server's, word for word."""
    body = b'{"ready": false, "state": "starting", "step": "recovery", "row": 5, "rows": 9}\n'

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as health:
        thread = threading.Thread(target=health.handle_request)
        thread.start()
        port = health.server_address[1]
        outcome = tongbao("status", "--connect", f"127.0.0.1:{free_port()}", "--http-port", port)
        thread.join()
    assert outcome.code == Exit.NOT_READY
    assert "starting" in outcome.out
    assert "recovery" in outcome.out


def test_tls(tongbao: Tongbao, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    made = tongbao("channel", "mobile", "--permission", "read", "--json").json
    (tmp_path / "channels.toml").write_text(made["entry"])
    (tmp_path / "key").write_text(made["key"])
    flags = ["--channels", tmp_path / "channels.toml", "--tls-cert", certificate, "--tls-key", key]
    tls = tls_context(str(certificate))
    with LocalServer(tmp_path / "data", *map(str, flags), dev=False, tls=tls) as server:
        connect = ["--connect", f"{server.host}:{server.port}"]
        mobile = [*connect, "--channel", "mobile", "--key-file", tmp_path / "key"]
        assert tongbao("accounts", "list", *mobile, "--ca", certificate, "--json").json == []
        unknown = tongbao("accounts", "list", *mobile, "--tls")
        assert unknown.code == Exit.UNREACHABLE
        assert "certificate verify failed" in unknown.err
        assert tongbao("accounts", "list", *mobile).code == Exit.UNREACHABLE
        with BlockingClient(server.host, server.port, tls=tls, logon=Logon("mobile", made["key"])) as client:
            assert client.query_accounts() == []


def test_snapshot(dev: Tongbao, pair: list[int], server: LocalServer) -> None:
    pay(dev, *pair, 1)
    outcome = dev("snapshot", "--json")
    assert (outcome.code, outcome.json["done"]) == (0, True)
    assert outcome.json["seq"] >= outcome.json["log_seq"]
    assert (server.data_dir / "snapshots" / f"{outcome.json['seq']:020d}.snapshot").exists()
    assert dev("snapshot", "--wait", 0, "--json").json["done"] is False


def test_export_csv_and_parquet(dev: Tongbao, pair: list[int], tmp_path: Path) -> None:
    amounts = [5, 6, 7]
    ids = [pay(dev, *pair, amount) for amount in amounts]
    text = dev("export", "transfers", "--account", pair[0]).out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["id"], int(row["amount"])) for row in rows] == list(zip(ids, amounts, strict=True))
    for suffix in ("csv", "parquet"):
        file = tmp_path / f"t.{suffix}"
        outcome = dev("export", "transfers", "--account", pair[0], "--out", file, "--json")
        assert outcome.json == {"what": "transfers", "rows": 3, "file": str(file)}
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [(row["id"], row["amount"]) for row in table] == list(zip(ids, amounts, strict=True))
    assert table[0]["pending_id"] is None
    balances = list(csv.DictReader(io.StringIO(dev("export", "balances", pair[1]).out)))
    assert [int(row["credits_posted"]) for row in balances] == [5, 11, 18]
    dev("export", "balances", *pair, "--out", tmp_path / "b.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "b.parquet").num_rows == 6
    accounts = {row["id"]: row for row in csv.DictReader(io.StringIO(dev("export", "accounts", "--ledger", 156).out))}
    assert accounts[str(pair[0])]["debits_posted"] == "18"
    dev("export", "accounts", "--out", tmp_path / "a.parquet")
    assert set(pair) <= set(pyarrow.parquet.read_table(tmp_path / "a.parquet")["id"].to_pylist())
    assert dev("export", "accounts", "--out", tmp_path / "no" / "a.csv").code == Exit.USAGE
    assert dev("export", "transfers", "--account", 1, "--ledger", 1).code == Exit.USAGE


def test_export_goes_on_page_after_page(
    dev: Tongbao, pair: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.cli.export.PAGE", 4)
    ids = [pay(dev, *pair, amount) for amount in range(1, 10)]
    rows = list(csv.DictReader(io.StringIO(dev("export", "transfers", "--account", pair[0]).out)))
    assert [row["id"] for row in rows] == ids
    everything = list(csv.DictReader(io.StringIO(dev("export", "transfers").out)))
    assert set(ids) <= {row["id"] for row in everything}
    assert len({row["id"] for row in everything}) == len(everything)


def test_channels_keys_and_signatures(tongbao: Tongbao, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tongbao("channel", "mobile", "--permission", "read", "--accounts", "1-100", "--scope", 1, "--json").json
    assert made["key"] not in made["entry"]
    admin = tongbao("channel", "ops", "--permission", "accounts", "--permission", "admin")
    key = admin.err.split()[-1]
    (tmp_path / "secret").write_text("s3cret-of-the-gateway-0123456789abcdef\n")
    signed = f'[channels.gateway]\npermissions = ["read"]\nhmac_secret_file = "{tmp_path / "secret"}"\n'
    text = made["entry"] + admin.out + signed
    assert set(tomllib.loads(text)["channels"]) == {"mobile", "ops", "gateway"}
    (tmp_path / "channels.toml").write_text(text)
    with LocalServer(tmp_path / "data", "--channels", str(tmp_path / "channels.toml"), dev=False) as server:
        connect = ["--connect", f"{server.host}:{server.port}"]
        assert tongbao("status", *connect, "--json").json["note"]
        assert tongbao("accounts", "list", *connect).code == Exit.REQUEST_REFUSED
        monkeypatch.setenv("TONGBAO_KEY", key)
        create = ["accounts", "create", 5, "--ledger", 1, "--code", 1, *connect]
        assert tongbao(*create, "--channel", "ops").code == 0
        assert tongbao("status", *connect, "--channel", "ops", "--json").json["server"]["state"] == "ready"
        assert tongbao("accounts", "list", *connect, "--channel", "ops").code == Exit.REQUEST_REFUSED  # no "read"
        monkeypatch.setenv("TONGBAO_KEY", "wrong")
        assert tongbao("status", *connect, "--channel", "ops").code == Exit.REQUEST_REFUSED
        (tmp_path / "key").write_text(made["key"] + "\n")
        mobile = [*connect, "--channel", "mobile", "--key-file", tmp_path / "key"]
        assert [item["id"] for item in tongbao("accounts", "list", *mobile, "--json").json] == [5]
        assert tongbao(*create, "--channel", "mobile", "--key-file", tmp_path / "key").code == Exit.REQUEST_REFUSED
        gateway = [*connect, "--channel", "gateway", "--key-file", tmp_path / "secret"]
        assert tongbao("accounts", "list", *gateway, "--sign", "--json").json[0]["id"] == 5
        assert tongbao("accounts", "list", *gateway).code == Exit.REQUEST_REFUSED
