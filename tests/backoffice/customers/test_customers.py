"""Customers through the API: made once, masked, changed with their history, and their states."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from backoffice.customers import hooks, service
from backoffice.problems import Code, Problem
from tests.backoffice.conftest import Office
from tests.backoffice.customers.make import enterprise_body, person, person_body, resident_id


@pytest.fixture
async def staffed(office: Office) -> Office:
    for name, role in (("teller", "teller"), ("manager", "relationship_manager"), ("ops", "operations"),
                       ("comply", "compliance"), ("auditor", "auditor")):  # fmt: skip
        await office.add(name, role)
    return office


async def made(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    answer = await office.ask("teller", "POST", "/customers", body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def status(office: Office, who: str, row: dict[str, Any], to: str, version: int) -> httpx.Response:
    path = f"/customers/{row['customer_id']}/status"
    return await office.ask(who, "PUT", path, {"status": to, "reason": "why not"}, if_match=f'"{version}"')


async def test_a_customer_is_masked_and_in_clear_only_for_a_reason(staffed: Office) -> None:
    body = person_body(name="欧阳小明", phone="13812345678")
    row = await made(staffed, body)
    assert (row["status"], row["name"], row["phone"], row["gender"] != "") == ("prospect", "欧***", "138****5678", True)
    path = f"/customers/{row['customer_id']}"
    read = await staffed.ask("teller", "GET", path)
    assert (read.json(), read.headers["etag"]) == (row, '"1"')
    for text in (body["name"], body["phone"], body["certificate"]["number"], body["email"]):
        assert text not in read.text
    assert (await staffed.ask("teller", "POST", f"{path}/unmasking", {"reason": "x"})).status_code == 403
    clear = await staffed.ask("manager", "POST", f"{path}/unmasking", {"reason": "the customer calls"})
    assert clear.json()["name"] == "欧阳小明"
    assert clear.json()["certificate"]["number"] == body["certificate"]["number"]
    entries = (await staffed.ask("auditor", "GET", f"/audit?subject=customer:{row['customer_id']}")).json()["items"]
    assert [each["action"] for each in entries] == ["customers.unmask", "customers.read", "customers.create"]
    assert "the customer calls" in entries[0]["detail"]


async def test_nothing_personal_stands_in_the_database_in_clear(staffed: Office) -> None:
    body = person_body(name="诸葛明亮", phone="13698765432", email="zhuge@example.com")
    row = await made(staffed, body)
    path = f"/customers/{row['customer_id']}"
    assert (await staffed.ask("teller", "PATCH", path, {"phone": "13698765433"}, if_match='"1"')).status_code == 200
    connection = await asyncpg.connect(staffed.dsn)
    dump = []
    for (table,) in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'office'"):
        dump.extend(map(str, await connection.fetch(f"SELECT t.*::text FROM office.{table} t")))
    await connection.close()
    everything = "\n".join(dump)
    assert str(row["customer_id"]) in everything
    for text in ("诸葛明亮", "明亮", "13698765432", "13698765433", "zhuge@example.com", body["certificate"]["number"]):
        assert text not in everything
        assert text.encode().hex() not in everything  # as bytea shows it


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"certificate": {"kind": "resident_id", "number": "110101199003070039"}}, "certificate.number"),
        ({"certificate": {"kind": "credit_code", "number": "91110000600037341L"}}, "certificate.number"),
        ({"phone": "1"}, "phone"),
        ({"email": "nobody"}, "email"),
        ({"birth_date": "1900-01-01"}, "birth_date"),
        ({"nationality": "cn"}, "nationality"),
        ({"branch": "NOWHERE"}, "branch"),
        ({"manager": 999}, "manager"),
        ({"tags": [""]}, "tags.0"),
        ({"region": "abc"}, "region"),
    ],
)
async def test_what_is_wrong_names_its_field(staffed: Office, change: dict[str, Any], field: str) -> None:
    answer = await staffed.ask("teller", "POST", "/customers", person_body() | change)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [field]


async def test_all_that_is_wrong_is_told_at_once(staffed: Office) -> None:
    answer = await staffed.ask("teller", "POST", "/customers", person_body(phone="1", email="x", nationality="c1"))
    assert [each["field"] for each in answer.json()["errors"]] == ["phone", "email", "nationality"]


async def test_one_customer_a_certificate_however_many_ask(staffed: Office) -> None:
    body = person_body()
    answers = await asyncio.gather(*(staffed.ask("teller", "POST", "/customers", body) for _ in range(20)))
    assert sorted(each.status_code for each in answers) == [201] + [409] * 19
    assert {each.json().get("code") for each in answers} == {None, "exists"}


async def test_a_change_keeps_what_was_before(staffed: Office) -> None:
    row = await made(staffed, person_body(phone="13800000001", tags=["vip", "vip", "a"]))
    path = f"/customers/{row['customer_id']}"
    assert row["tags"] == ["a", "vip"]
    changed = await staffed.ask("teller", "PATCH", path, {"phone": "13800000002", "tags": []}, if_match='"1"')
    assert (changed.json()["phone"], changed.json()["tags"], changed.json()["version"]) == ("138****0002", [], 2)
    stale = await staffed.ask("teller", "PATCH", path, {"phone": "13800000003"}, if_match='"1"')
    assert (stale.status_code, stale.json()["code"]) == (412, "changed")
    assert (await staffed.ask("teller", "PATCH", path, {"phone": None}, if_match='"2"')).status_code == 422
    taken = await made(staffed, person_body())
    other = {"certificate": {"kind": "resident_id", "number": resident_id(1)}}
    first = await staffed.ask("teller", "PATCH", path, other, if_match='"2"')
    assert first.status_code == 200
    second = await staffed.ask("teller", "PATCH", f"/customers/{taken['customer_id']}", other, if_match='"1"')
    assert second.json()["code"] == "exists"
    async with staffed.transaction() as context:
        rows = (await context.connection.exec_driver_sql("SELECT * FROM office.customer_changes ORDER BY 1")).mappings()
        kept = [
            await context.keyring.open(
                context.connection,
                f"customer_changes:{each['customer_id']}:{each['version']}",
                service.Sealed(each["key_id"], each["sealed"]),
            )
            for each in rows.all()
        ]
    assert [each["phone"] for each in kept] == ["13800000001", "13800000002"]


async def test_every_move_between_states(staffed: Office) -> None:
    """As the table of moves has it; a customer is frozen by who may freeze, and released by two."""
    for start in ("prospect", "active", "dormant", "frozen"):
        for to in ("active", "dormant", "frozen"):
            row = await made(staffed, person_body())
            path_to = {"prospect": [], "active": ["active"], "dormant": ["active", "dormant"], "frozen": ["frozen"]}
            for version, step in enumerate(path_to[start], 1):
                assert (
                    await status(staffed, "ops" if step == "frozen" else "teller", row, step, version)
                ).status_code == 200
            answer = await status(staffed, "ops" if to == "frozen" else "teller", row, to, len(path_to[start]) + 1)
            assert (answer.status_code == 200) == (start in service.MOVES[to]), (start, to, answer.text)
    assert (await status(staffed, "teller", row, "frozen", 2)).status_code == 403


async def two_persons(office: Office, path: str, checker: str = "comply") -> httpx.Response:
    asked = await office.ask("ops", "POST", path, {"reason": "asked for"})
    assert asked.status_code == 202, asked.text
    decision = f"/approvals/{asked.json()['approval_id']}/decision"
    return await office.ask(checker, "POST", decision, {"approve": True})


async def test_release_and_closing_need_two(staffed: Office) -> None:
    row = await made(staffed, person_body())
    path = f"/customers/{row['customer_id']}"
    assert (await status(staffed, "teller", row, "active", 1)).status_code == 200
    assert (await status(staffed, "ops", row, "frozen", 2)).json()["status"] == "frozen"
    assert (await two_persons(staffed, f"{path}/closure")).json()["code"] == "state"
    assert (await two_persons(staffed, f"{path}/release")).json()["result"]["status"] == "active"
    assert (await two_persons(staffed, f"{path}/closure")).json()["result"]["status"] == "closed"
    closed = (await staffed.ask("teller", "GET", path)).json()
    assert closed["status"] == "closed"
    again = await staffed.ask("teller", "PATCH", path, {"phone": ""}, if_match=f'"{closed["version"]}"')
    assert again.json()["code"] == "state"


async def test_who_is_closed_may_come_again(staffed: Office) -> None:
    body = person_body()
    row = await made(staffed, body)
    assert (await two_persons(staffed, f"/customers/{row['customer_id']}/closure")).status_code == 200
    assert (await made(staffed, body))["customer_id"] != row["customer_id"]


async def test_hooks_hear_of_changes_and_may_forbid(staffed: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    async def changed(_: Any, row: dict[str, Any], fields: Any) -> None:
        heard.append((row["customer_id"], row["status"], fields.name))

    async def never(_: Any, customer_id: int) -> None:
        raise Problem(Code.STATE, f"{customer_id} is on a list")

    monkeypatch.setattr(hooks, "ON_CHANGE", [changed])
    monkeypatch.setattr(service, "ON_CHANGE", [changed])
    row = await made(staffed, body := enterprise_body())
    assert row["name"] == body["name"]  # an enterprise's name is public
    monkeypatch.setattr(service, "BEFORE_ACTIVE", [never])
    refused = await status(staffed, "teller", row, "active", 1)
    assert "is on a list" in refused.json()["detail"]
    assert heard == [(row["customer_id"], "prospect", body["name"])]


async def test_names_and_business_of_others(staffed: Office) -> None:
    row = await person(staffed, name="司马光")
    waiting = await person(staffed, active=False)
    async with staffed.transaction() as context:
        names = await service.names_of(context, [row["customer_id"], 1])
        clear = await service.names_of(context, [row["customer_id"]], clear=True)
        assert (names, clear) == ({row["customer_id"]: "司**"}, {row["customer_id"]: "司马光"})
        assert (await service.require_active(context, row["customer_id"]))["status"] == "active"
        with pytest.raises(Problem, match="prospect"):
            await service.require_active(context, waiting["customer_id"])
        await service.touch(context, row["customer_id"], {"status": "dormant"}, "dormant")
        assert (await service.require_active(context, row["customer_id"]))["status"] == "active"


async def test_branches(staffed: Office) -> None:
    body = {"branch": "XX01", "name_zh": "新行", "name_en": "New", "region": "410105"}
    assert (await staffed.ask("ops", "POST", "/branches", body)).status_code == 201
    assert (await staffed.ask("ops", "POST", "/branches", body)).json()["code"] == "exists"
    assert (await staffed.ask("ops", "POST", "/branches", body | {"branch": "Y", "parent": "?"})).status_code == 422
    items = (await staffed.ask("teller", "GET", "/branches")).json()["items"]
    assert [each["branch"] for each in items] == ["HO", "XX01"]


async def test_a_freeze_waits_for_business_that_has_begun(office: Office) -> None:
    """Otherwise an account could be opened for a customer who is frozen or closed by the time of the commit."""
    number = (await person(office))["customer_id"]
    order: list[str] = []

    async def freeze() -> None:
        async with office.transaction() as context:
            order.append("asked")
            await service.freeze(context, number, "court order")
            order.append("frozen")

    async with office.transaction() as context:
        await service.require_active(context, number)
        task = asyncio.create_task(freeze())
        async with asyncio.timeout(20), office.transaction() as watch:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while not (await watch.connection.exec_driver_sql(waits)).scalar():
                assert not task.done(), "the freeze did not wait"
                await asyncio.sleep(0.01)
        order.append("done")
    await task
    assert order == ["asked", "done", "frozen"]
    async with office.transaction() as context:
        with pytest.raises(Problem, match="frozen"):
            await service.require_active(context, number)
