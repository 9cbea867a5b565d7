"""`tongbao verify`: passes what is whole, beside a server and alone, and names what is not."""

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from examples.local_server import LocalServer
from server.client import Account, BlockingClient, Transfer, uuid7
from server.journal import PrivatePostgres
from server.snapshots import Manifest, Snapshots
from tests.server.cli.conftest import Tongbao


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with some log, two snapshots in it, and no server."""
    directory = tmp_path_factory.mktemp("verify") / "data"
    with LocalServer(directory, "--digest-every", "2") as server, BlockingClient(server.host, server.port) as client:
        client.create_accounts([Account(n, 156, 1) for n in range(1, 11)])
        for turn in range(2):
            for n in range(10):
                client.create_transfers([Transfer(uuid7(), 1, 2 + n % 9, 5 + n, 156, 1) for _ in range(20)])
            seq = client.call("take_snapshot", {}, safe=True)["log_seq"]
            while client.call("server_status", {}, safe=True)["snapshot"]["seq"] < seq:
                pass
            assert turn < 2
    return directory


@pytest.fixture
def data(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    shutil.copytree(stopped, tmp_path / "data", symlinks=True, ignore=shutil.ignore_patterns("run", "socket_directory"))
    return tmp_path / "data"


def change(data: Path, statement: str) -> None:
    """Run SQL in the private cluster, as somebody with access to the disk might."""

    async def work() -> None:
        postgres = PrivatePostgres(data, prime=False)
        dsn = await postgres.start(supervise=False)
        connection = await asyncpg.connect(dsn)
        await connection.execute(statement)
        await connection.close()
        await postgres.stop()

    asyncio.run(work())


def test_alone(tongbao: Tongbao, data: Path) -> None:
    outcome = tongbao("verify", "--data-dir", data, "--json")
    assert outcome.code == 0
    report = outcome.json
    assert report["ok"] is True
    assert (report["accounts"], report["transfers"], report["items"]) == (10, 400, 410)
    assert report["rows"] == report["seq"] + 1
    assert report["digests"] >= 5
    assert len(report["snapshots"]) == 2
    assert len(report["state_hash"]) == len(report["log_hash"]) == 64
    short = tongbao("verify", "--data-dir", data, "--from-snapshot", "--json").json
    assert short["ok"] is True
    assert short["state_hash"] == report["state_hash"]
    assert short["rows"] < report["rows"]
    assert "the log is whole" in tongbao("verify", "--data-dir", data).out


def test_beside_a_running_server_and_read_only(tongbao: Tongbao, data: Path) -> None:
    with LocalServer(data) as server, BlockingClient(server.host, server.port) as client:
        before = client.call("server_status", {}, safe=True)["log"]["seq"]
        report = tongbao("verify", "--data-dir", data, "--json").json
        assert report["ok"] is True
        assert report["seq"] == before
        (result,) = client.create_transfers([Transfer(uuid7(), 1, 2, 5, 156, 1)])
        assert result.created_or_exists
        directory = (data / "postgres" / "socket_directory").read_text().strip()
        url = f"postgresql:///tongbao?host={quote(directory)}&user=tongbao"
        by_url = tongbao("verify", "--database-url", url, "--data-dir", data, "--json")
        assert (by_url.code, by_url.json["seq"]) == (0, before + 1)


DAMAGE = [
    ("UPDATE {t} SET payload = payload || 'x' WHERE seq = 5", 5, "does not match its checksum"),
    (
        "UPDATE {t} SET payload = payload || 'x', checksum = sha256(payload || 'x') WHERE seq = 5",
        5,
        "hash does not match",
    ),
    ("UPDATE {t} SET time = time + 1 WHERE seq = 5", 5, "hash does not match the row"),
    ("DELETE FROM {t} WHERE seq = 5", 5, "missing"),
    ("UPDATE {t} SET digest = set_byte(digest, 0, 255 - get_byte(digest, 0)) WHERE digest IS NOT NULL", 5, "hash does"),
]


@pytest.mark.parametrize(("statement", "code", "words"), DAMAGE, ids=[words for *_, words in DAMAGE])
def test_a_damaged_row_is_named(tongbao: Tongbao, data: Path, statement: str, code: int, words: str) -> None:
    change(data, statement.format(t="tongbao.log_0000000000"))
    outcome = tongbao("verify", "--data-dir", data, "--json")
    assert outcome.code == code
    assert words in outcome.json["error"]
    assert outcome.json["ok"] is False
    if "seq = 5" in statement:
        assert "5" in outcome.json["error"]


def test_rows_that_are_gone_from_the_end(tongbao: Tongbao, data: Path) -> None:
    change(data, "DELETE FROM tongbao.log_0000000000 WHERE seq > 15")
    outcome = tongbao("verify", "--data-dir", data, "--json")
    assert outcome.code == 7
    assert "there is a snapshot of row" in outcome.json["error"]


def test_a_forged_chain_still_gives_another_state(tongbao: Tongbao, data: Path) -> None:
    """Who rewrites a row and every hash behind it is found by the digests and the snapshots."""
    statement = """
        DO $$
        DECLARE r record; previous bytea; h bytea; t bigint := 0;
        BEGIN
          SELECT hash INTO previous FROM tongbao.log_0000000000 WHERE seq = 4;
          FOR r IN SELECT * FROM tongbao.log_0000000000 WHERE seq > 4 ORDER BY seq LOOP
            IF r.seq = 5 THEN
              -- the payload of another batch in this one's place
              SELECT payload INTO r.payload FROM tongbao.log_0000000000 WHERE seq = 6;
              SELECT time INTO r.time FROM tongbao.log_0000000000 WHERE seq = 6;
              r.checksum := sha256(r.payload);
            END IF;
            h := sha256(previous || int8send(r.seq) || int8send(r.epoch) || int8send(r.time) || int2send(r.format)
                 || int2send(r.kind) || r.checksum || coalesce(r.digest, ''));
            UPDATE tongbao.log_0000000000 SET payload = r.payload, time = r.time, checksum = r.checksum,
                   previous_hash = previous, hash = h WHERE seq = r.seq;
            previous := h;
          END LOOP;
        END $$
    """
    change(data, statement)
    outcome = tongbao("verify", "--data-dir", data, "--json")
    assert outcome.code != 0
    assert outcome.json["error"]
    assert outcome.json["ok"] is False


def test_a_damaged_snapshot_is_named(tongbao: Tongbao, data: Path) -> None:
    newest = max((data / "snapshots").glob("*.snapshot"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    outcome = tongbao("verify", "--data-dir", data, "--json")
    assert outcome.code == 5
    assert newest.name in outcome.json["error"]
    manifest = newest.with_suffix(".json")
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    document = json.loads(manifest.read_text())
    # No member of the manifest is passed over, also those that verify itself has no use for.
    manifest.write_text(json.dumps(document | {"created": "2026-11-23T00:00:00+00:00"}))
    outcome = tongbao("verify", "--data-dir", data, "--json")
    assert outcome.code == 5
    assert "the manifest's checksum does not fit" in outcome.json["error"]
    good = Manifest(**{name: value for name, value in document.items() if name != "checksum"})
    Snapshots(newest.parent, 2).publish(replace(good, state_hash="0" * 64))
    outcome = tongbao("verify", "--data-dir", data, "--json")
    assert outcome.code == 5
    assert "in its manifest" in outcome.json["error"]


def test_capacities_that_are_too_small(tongbao: Tongbao, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGBAO_TRANSFERS_MAX", "50")
    outcome = tongbao("verify", "--data-dir", data, "--json")
    assert outcome.code == 9
    assert outcome.json["error"]


def test_a_database_without_a_log(tongbao: Tongbao, database: str, tmp_path: Path) -> None:
    outcome = tongbao("verify", "--database-url", database, "--data-dir", tmp_path, "--json")
    assert outcome.code == 4
    assert outcome.json["error"] == "there is no log of tongbao in this database"

    async def tables() -> int:
        connection = await asyncpg.connect(database)
        count = await connection.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = 'tongbao'")
        await connection.close()
        return int(count)

    assert asyncio.run(tables()) == 0  # it made none either


def test_a_database_that_is_not_there(tongbao: Tongbao, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.cli.origin.WAIT_SECONDS", 0.1)
    outcome = tongbao("verify", "--database-url", "postgresql://127.0.0.1:1/x")
    assert outcome.code == 4
    assert "database is not there" in outcome.err
