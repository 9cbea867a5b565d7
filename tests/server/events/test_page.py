"""docs/EVENTS.md and schema/event.json: the sessions are what redis-cli answers, every event fits the schema.

TONGBAO_REWRITE_DOCS=1 writes the answers anew.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest

from tests.engine.trading_subjects import LIMITS, Fast
from tests.server.events.harness import RedisServer, World, data_of, read_plainly, streams
from tests.server.projection.test_examples import steps
from tests.server.projection.worlds import Log, ledger_records, trading_records

DOCS = Path(__file__).parents[3] / "docs"
SESSION = re.compile(r"```console\n\$ redis-cli (.*)\n((?:.*\n)*?)```")


async def test_what_the_page_shows_is_what_redis_answers(redis: RedisServer, tmp_path: Path) -> None:
    program = shutil.which("redis-cli")
    if program is None:
        pytest.skip("there is no redis-cli")
    fast = Fast()
    for step in steps():
        fast.apply(step)
    world = World(Log(fast.engine.log), LIMITS, [streams(redis)], tmp_path)
    world.start()
    world.apply(100)
    await world.flushed()
    await world.stop()
    path = DOCS / "EVENTS.md"
    page = path.read_text("utf-8")
    found = SESSION.findall(page)
    assert len(found) >= 3
    for command, shown in found:
        answer = subprocess.run(  # noqa: ASYNC221 - nothing else is going on
            [program, "-s", str(redis.socket), *command.split()], capture_output=True, text=True, check=True
        ).stdout
        assert answer.strip(), command
        if os.environ.get("TONGBAO_REWRITE_DOCS"):
            page = page.replace(f"$ redis-cli {command}\n{shown}```", f"$ redis-cli {command}\n{answer}```")
        else:
            assert shown == answer
    path.write_text(page, "utf-8")


def test_every_event_fits_the_schema_and_every_member_is_on_the_page() -> None:
    schema = json.loads((DOCS / "schema" / "event.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    page = (DOCS / "EVENTS.md").read_text("utf-8")
    names = set()
    for seed in range(3):
        for make in (ledger_records, trading_records):
            records, limits = make(f"events/{seed}", 150)
            told = read_plainly(Log(records).rows, limits)
            for items in told.values():
                for _, document in items:
                    errors = [error.message for error in validator.iter_errors(json.loads(document))]
                    assert not errors, (errors, document)
            for alert in data_of(told, "alerts"):
                names.add(alert["name"])
                assert all(f"`{member}`" in page for member in alert), alert
    known = set(schema["$defs"]["alert"]["properties"]["name"]["enum"])
    assert names <= known
    assert all(f"`{name}`" in page for name in known)
