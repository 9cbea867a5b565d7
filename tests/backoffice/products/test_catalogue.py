"""The catalogue through the API: two persons, versions that never change, one on sale, and the comparison."""

from typing import Any

import httpx
import pytest

from backoffice.demo import catalogue as demo
from backoffice.demo import people
from tests.backoffice.conftest import Office

BODY = {"terms": {"months": 12, "rate": "0.95", "early_rate": "0.05"}, "risk_level": 1, "minimum": "50", "step": "0.01"}


@pytest.fixture
async def staffed(office: Office) -> Office:
    for name, role in (("maker", "product_manager"), ("other", "product_manager"), ("risk", "risk_officer")):
        await office.add(name, role)
    product = {"product_id": "TERM-X", "kind": "term", "name_zh": "定期", "name_en": "Term"}
    assert (await office.ask("maker", "POST", "/products", product)).status_code == 201
    return office


async def drafted(office: Office, **changes: Any) -> httpx.Response:
    return await office.ask("maker", "POST", "/products/TERM-X/versions", BODY | changes)


async def decided(office: Office, version: int, *, approve: bool = True) -> httpx.Response:
    asked = await office.ask("maker", "POST", f"/products/TERM-X/versions/{version}/submission")
    assert asked.status_code == 202, asked.text
    path = f"/approvals/{asked.json()['approval_id']}/decision"
    return await office.ask("risk", "POST", path, {"approve": approve, "reason": "so it is"})


async def moved(office: Office, version: int, move: str) -> httpx.Response:
    return await office.ask("maker", "POST", f"/products/TERM-X/versions/{version}/moves", {"move": move})


async def test_from_draft_to_sale_by_two_persons(staffed: Office) -> None:
    made = (await drafted(staffed, quota="1000")).json()
    assert (made["version"], made["state"], made["left"]["amount"]) == (1, "draft", "1000.00")
    assert (await moved(staffed, 1, "launch")).json()["code"] == "state"
    path = "/products/TERM-X/versions/1"
    edited = await staffed.ask("maker", "PUT", path, BODY | {"minimum": "100"}, if_match='"1"')
    assert (edited.json()["minimum"]["amount"], edited.headers["etag"]) == ("100.00", '"2"')
    assert (await staffed.ask("maker", "PUT", path, BODY, if_match='"1"')).status_code == 412
    assert (await decided(staffed, 1, approve=False)).status_code == 200
    assert (await staffed.ask("maker", "GET", path)).json()["state"] == "draft"
    assert (await decided(staffed, 1)).json()["result"]["state"] == "approved"
    launched = (await moved(staffed, 1, "launch")).json()
    assert launched["state"] == "on_sale"
    late = await staffed.ask("maker", "PUT", path, BODY, if_match=f'"{launched["row_version"]}"')
    assert late.json()["code"] == "state"


async def test_a_new_version_takes_the_place_of_the_old_one(staffed: Office) -> None:
    for version in (1, 2):
        await drafted(staffed, terms=BODY["terms"] | {"rate": f"{version}"})  # type: ignore[operator]
        await decided(staffed, version)
        assert (await moved(staffed, version, "launch")).status_code == 200
    items = (await staffed.ask("maker", "GET", "/products?text=term")).json()["items"]
    assert [(each["version"], each["state"], each["terms"]["rate"]) for each in items] == [
        (1, "retired", "1"),
        (2, "on_sale", "2"),
    ]
    assert (await moved(staffed, 1, "resume")).json()["code"] == "state"
    assert (await moved(staffed, 2, "suspend")).json()["state"] == "suspended"
    assert (await moved(staffed, 2, "resume")).json()["state"] == "on_sale"
    assert (await moved(staffed, 2, "retire")).json()["state"] == "retired"


@pytest.mark.parametrize(
    ("change", "field"),
    [({"risk_level": 2}, "risk_level"), ({"minimum": "1.001"}, "minimum"), ({"step": "0"}, "step"),
     ({"minimum": "1", "step": "0.3"}, "minimum"), ({"quota": "x"}, "quota"),
     ({"sale_from": "2026-02-01", "sale_to": "2026-01-01"}, "sale_to"), ({"terms": {}}, "terms.months")],
)  # fmt: skip
async def test_what_is_wrong_names_its_field(staffed: Office, change: dict[str, Any], field: str) -> None:
    answer = await drafted(staffed, **change)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


@pytest.fixture
async def demonstrated(office: Office) -> Office:
    services = office.app.state.office
    await people.seed(services, "correct horse battery")
    for _ in range(2):  # what is there is left alone
        await demo.seed(services, "")
    await office.add("li", "auditor")
    return office


async def test_the_demo_compares_what_it_sells(demonstrated: Office) -> None:
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = (await demonstrated.ask("li", "GET", f"/products?state=on_sale&limit=7{cursor}")).json()
        items += answer["items"]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    ids = [each["product_id"] for each in items]
    assert len(ids) == len(set(ids)) >= 17
    cny = [each["product_id"] for each in items if each["currency"] == "CNY"]
    body = {"products": cny, "amount": {"amount": "300000"}, "months": 12}
    rows = (await demonstrated.ask("li", "POST", "/products/comparison", body)).json()["items"]
    rates = {each["product_id"]: each["effective_annual_rate"] for each in rows}
    assert [each["reason"] for each in rows] == [""] * len(rows)
    assert rates["TERM-12M"] == "0.95"  # one year, one payment: the rate itself
    assert float(rates["DEMAND-CNY"]) == pytest.approx(0.05 * 365 / 360, rel=1e-3)
    assert 3.6 < float(rates["LOAN-CONSUMER"]) < 3.7  # 3.60 % paid monthly
    by = {each["product_id"]: each for each in rows}
    assert by["TERM-12M"]["gain"]["amount"] == "2850.00"
    assert by["TERM-12M"]["points"][-1]["worth"]["amount"] == "302850.00"
    assert (by["WEALTH-STEADY-90"]["basis"], by["TERM-12M"]["basis"]) == ("assumed", "contract")
    wrong = await demonstrated.ask("li", "POST", "/products/comparison", body | {"products": ["NOTHING"]})
    assert wrong.json()["errors"][0]["field"] == "products.0"
    small = await demonstrated.ask("li", "POST", "/products/comparison", body | {"amount": {"amount": "10"}})
    assert {each["reason"] for each in small.json()["items"]} == {"", "below_minimum"}
