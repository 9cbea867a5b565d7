"""Property: the events of a row are what the engine's own reads say it changed, whoever makes them."""

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from engine import Batch, Engine
from engine._core.order_records import ORDER_FILTER
from engine.order_results import ExecutionKind
from engine.results import TransferState
from server.events.maker import BALANCES, KINDS, Maker, RowEvents
from server.recovery import Recovered, apply_rows
from tests.server.events.harness import by_kind, data_of, read_plainly
from tests.server.projection.worlds import Log, ledger_records, trading_records


def balances(engine: Engine) -> dict[int, tuple[int, ...]]:
    return {int(account["id"]): tuple(int(account[name]) for name in BALANCES) for account in engine.array("accounts")}


def uuid_of(low: int, high: int) -> str:
    digits = f"{high << 64 | low:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["ledger", "trading"])
def test_events_say_what_every_row_changed(kind: str, seed: int) -> None:
    records, limits = (trading_records if kind == "trading" else ledger_records)(f"events/{seed}", 200)
    log = Log(records)
    recovered = Recovered(Engine(limits), 0, 0, log.rows[0].hash, None)
    engine = recovered.engine
    maker = Maker(engine)
    known: dict[int, tuple[int, ...]] = {}
    pending: set[str] = set()
    counts = {"transfers": 0, "executions": 0, "trades": 0}

    def applied(row: Any, batch: Any) -> None:
        made = maker.of(row, batch)
        documents = [json.loads(event.data) for event in made.events]
        assert [document["id"] for document in documents] == [f"{row.seq}-{n}" for n in range(len(documents))]
        assert all(document["seq"] == row.seq for document in documents)
        by: dict[str, list[Any]] = {}
        for document in documents:
            by.setdefault(document["type"], []).append(document["data"])
        # Balances: those that differ, all of them, and no others.
        now = balances(engine)
        told = {item["account_id"]: tuple(item[name] for name in BALANCES) for item in by.get("balance", [])}
        assert told == {account: value for account, value in now.items() if value != known.get(account, (0,) * 4)}
        known.clear()
        known.update(now)
        # Transfers: each once, with its amount.
        new = engine.array("transfers")[counts["transfers"] :]
        assert [(item["id"], item["amount"]) for item in by.get("transfer", [])] == [
            (uuid_of(int(one["id_lo"]), int(one["id_hi"])), int(one["amount"])) for one in new
        ]
        # What was pending and has expired: told as an alert, once.
        stored = engine.array("transfers")
        open_now = {
            uuid_of(int(one["id_lo"]), int(one["id_hi"])) for one in stored[stored["state"] == TransferState.PENDING]
        }
        gone = {
            uuid_of(int(one["id_lo"]), int(one["id_hi"])) for one in stored[stored["state"] == TransferState.EXPIRED]
        }
        expired = [item["id"] for item in by.get("alert", []) if item["name"] == "pending_expired"]
        assert len(expired) == len(set(expired))
        assert set(expired) == pending & gone
        pending.clear()
        pending.update(open_now)
        # Executions and trades: what the protocol's reads give.
        views = engine.get_executions(_after(counts["executions"]))
        assert [item["exec_id"] for item in by.get("execution", [])] == views["exec_id"].tolist()
        made_trades = [item for item in by.get("trade", []) if item["trade_id"] > counts["trades"]]
        assert [item["trade_id"] for item in made_trades] == engine.get_trades(_after(counts["trades"]))[
            "trade_id"
        ].tolist()
        undone = views[np.isin(views["kind"], (ExecutionKind.BUSTED, ExecutionKind.CORRECTED))]["trade_id"]
        old = {int(trade) for trade in undone if 0 < int(trade) <= counts["trades"]}
        assert {item["trade_id"] for item in by.get("trade", [])} >= old
        counts.update(transfers=engine.transfers, executions=engine.executions, trades=engine.trades)

    apply_rows(recovered, log.rows[1:], Batch(), applied)
    assert counts["transfers"] > 5


def _after(number: int) -> Any:
    query = np.zeros(1, ORDER_FILTER)
    query["after"], query["limit"] = number, 8_000
    return query


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["ledger", "trading"])
def test_whoever_begins_in_the_middle_makes_the_same_events(tmp_path: Path, kind: str, seed: int) -> None:
    records, limits = (trading_records if kind == "trading" else ledger_records)(f"events/{seed}", 160)
    log = Log(records)
    plain = read_plainly(log.rows, limits)
    random = Random(seed)
    for cut in sorted(random.sample(range(2, len(log.rows) - 1), 4)):
        first = Recovered(Engine(limits), 0, 0, log.rows[0].hash, None)
        apply_rows(first, log.rows[1 : cut + 1], Batch())
        path = tmp_path / f"{cut}.snapshot"
        first.engine.snapshot(path)
        row = log.rows[cut]
        second = Recovered(Engine.restore(path, limits), cut, row.epoch, row.hash, None)
        maker = Maker(second.engine)
        made: list[RowEvents] = []
        apply_rows(second, log.rows[cut + 1 :], Batch(), lambda row, batch, m=maker, k=made: k.append(m.of(row, batch)))
        told = by_kind(made)
        for name in KINDS:
            assert told[name] == [item for item in plain[name] if int(item[0].split("-")[0]) > cut]


def test_worlds_make_every_kind_of_event_and_alert() -> None:
    """The property above is about something."""
    names: set[str] = set()
    kinds: set[str] = set()
    for seed in range(4):
        for make in (ledger_records, trading_records):
            records, limits = make(f"events/{seed}", 200)
            told = read_plainly(Log(records).rows, limits)
            kinds |= {kind for kind, items in told.items() if items}
            names |= {item["name"] for item in data_of(told, "alerts")}
    assert kinds == set(KINDS)
    assert names >= {
        "pending_expired", "limit_rejected", "limits_set", "kill_switch", "programme_trading", "session_changed",
        "business_day",
    }  # fmt: skip
