"""`tongbao events status` says what the targets themselves hold."""

import json
from pathlib import Path

import pytest

from server.cli import main
from server.events.parquet import Parquet
from tests.server.events.harness import RedisServer, World, read_plainly, streams
from tests.server.projection.worlds import Log, ledger_records


async def test_what_it_says(redis: RedisServer, tmp_path: Path) -> None:
    records, limits = ledger_records("events/status", 30)
    log = Log(records)
    world = World(log, limits, [streams(redis), Parquet(tmp_path / "files", 1, 1)], tmp_path)
    world.start()
    world.apply(100)
    await world.flushed()
    await world.stop()
    plain = read_plainly(log.rows, limits)
    [last, _] = plain["transfers"][-1]
    from server.cli.events import _parquet, _redis

    said = await _redis(redis.url, "tongbao")
    assert said["seq"] == log.rows[-1].seq
    assert said["log_id"] == log.log_id.hex()
    assert said["streams"]["tongbao:transfers"] == {"entries": len(plain["transfers"]), "last": last}
    assert _parquet(tmp_path / "files")["seq"] == log.rows[-1].seq
    assert _parquet(tmp_path / "files")["files"] > 0


def test_the_command(redis: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "status", "--redis-url", redis.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"redis": {"seq": None, "streams": {}}}
    assert main(["events", "status"]) == 2
    assert main(["events", "status", "--redis-url", "http://x"]) == 2
    assert main(["events", "status", "--parquet-dir", str(tmp_path / "none")]) == 2
    redis.kill()
    assert main(["events", "status", "--redis-url", redis.url]) == 4
    (tmp_path / "_position.json").write_text("{", "utf-8")
    assert main(["events", "status", "--parquet-dir", str(tmp_path)]) == 13
