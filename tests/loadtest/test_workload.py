"""The workload: its compiled twin makes the same items, as records, as JSON and as batches."""

import json
from uuid import UUID

import numpy as np
import pytest

from engine import AMOUNT_ALL, Batch, Engine, TransferFlag
from engine.requests import answers
from loadtest.requests import Requests
from loadtest.workload import ACCOUNT_FIRST, Shape, Spread, Workload

SHAPES: tuple[Shape, ...] = ("single", "two_phase", "linked")
SPREADS: tuple[Spread, ...] = ("uniform", "zipf", "hot")


def small(**values: object) -> Workload:
    return Workload(**({"seed": 7, "accounts": 500, "draws": 1 << 10} | values))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spread", SPREADS)
def test_twin_makes_the_same_records(shape: Shape, spread: Spread) -> None:
    workload = small(shape=shape, spread=spread)
    first, count = 3_000, 4_000
    assert (Requests(workload, items=2).transfers(first, count) == workload.transfers(first, count)).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("items", [2, 10])
def test_lines_say_the_same(shape: Shape, items: int) -> None:
    workload = small(shape=shape)
    lines = Requests(workload, items=items).lines(40, 5).splitlines()
    records = workload.transfers(40 * items, 5 * items)
    asked = [json.loads(line) for line in lines]
    assert [request["id"] for request in asked] == list(range(40, 45))
    assert {request["method"] for request in asked} == {"create_transfers"}
    assert [len(request["params"]) for request in asked] == [items] * 5
    for item, record in zip([item for request in asked for item in request["params"]], records, strict=True):
        assert UUID(item["id"]).int == int(record["id_hi"]) << 64 | int(record["id_lo"])
        assert item.get("debit_account_id", 0) == record["debit_account_id"]
        assert item.get("credit_account_id", 0) == record["credit_account_id"]
        assert item.get("amount", AMOUNT_ALL) == record["amount"]
        assert item.get("timeout", 0) == record["timeout"]
        assert item.get("ledger", 0) == record["ledger"]
        assert item.get("code", 0) == record["code"]
        assert UUID(item.get("pending_id", str(UUID(int=0)))).int == (
            int(record["pending_id_hi"]) << 64 | int(record["pending_id_lo"])
        )
        assert sum(TransferFlag[name.upper()] for name in item.get("flags", ())) == record["flags"]


def test_account_lines() -> None:
    workload = small()
    requests = Requests(workload, items=200, accounts=True)
    assert requests.account_requests == 3
    asked = [json.loads(line) for line in requests.lines(0, 3).splitlines()]
    made = [item for request in asked for item in request["params"]]
    records = workload.account_commands()
    assert [len(request["params"]) for request in asked] == [200, 200, 100]
    assert [item["id"] for item in made] == list(records["id"])
    assert {(item["ledger"], item["code"]) for item in made} == {(records["ledger"][0], records["code"][0])}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_item_is_created(shape: Shape) -> None:
    workload = small(shape=shape)
    engine = Engine()
    engine.create_accounts(workload.account_commands(), 1)
    batch = Batch()
    requests = Requests(workload, items=2)
    for first in (0, 1_000):
        requests.fill(batch, first, 1_000)
        engine.apply(batch, 10**6 * (first + 1))
        assert not answers(batch, 999)["status"].any()
    assert engine.transfers == 4_000
    assert engine.pending == 0
    engine.check_invariants()


def test_ids_are_unique_and_version_7() -> None:
    records = small().transfers(0, 100_000)
    assert len(np.unique(records[["id_lo", "id_hi"]])) == len(records)
    assert (records["id_hi"] >> np.uint64(12) & np.uint64(15) == 7).all()
    assert (records["id_lo"] >> np.uint64(62) == 2).all()
    assert len(np.intersect1d(records["id_lo"], small(seed=8).transfers(0, 100_000)["id_lo"])) == 0


def test_spreads() -> None:
    shares = {}
    for spread in SPREADS:
        records = small(spread=spread, draws=1 << 16).transfers(0, 1 << 16)
        legs = np.concatenate([records["debit_account_id"], records["credit_account_id"]])
        assert (records["debit_account_id"] != records["credit_account_id"]).all()
        assert legs.min() >= ACCOUNT_FIRST
        assert legs.max() < ACCOUNT_FIRST + 500
        shares[spread] = np.unique(legs, return_counts=True)[1].max() / len(records)
    assert shares["hot"] == 1
    assert 0.15 < shares["zipf"] < 0.5
    assert shares["uniform"] < 0.01


@pytest.mark.parametrize(
    ("values", "field"),
    [({"accounts": 2}, "accounts"), ({"draws": 1000}, "draws"), ({"spread": "x"}, "spread"), ({"shape": "x"}, "shape")],
)
def test_bad_values_are_refused(values: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        small(**values)


def test_a_chain_stays_in_its_request() -> None:
    with pytest.raises(ValueError, match="items: 3 is not a multiple of 2"):
        Requests(small(shape="linked"), items=3)
