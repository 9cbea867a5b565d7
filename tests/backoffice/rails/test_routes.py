"""Rails over the API: set up, tried out, paid over, looked into."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backoffice.rails.signing import new_key_line
from tests.backoffice.conftest import Office
from tests.backoffice.payments.institution import account, balance
from tests.backoffice.rails.conftest import LocalRail
from tests.backoffice.rails.house import activate, all_payments, orders, row_of, serving, told, turn, until
from tests.backoffice.rails.test_adapters import count_of_cases, ended


@pytest.fixture
async def house(bank: Office, tmp_path: Path) -> AsyncIterator[tuple[Office, str]]:
    bank.time = datetime.now(UTC)
    async with serving(bank, tmp_path) as address:
        await bank.add("ops", "operations")
        await bank.add("teller", "teller")
        yield bank, address


async def start(rail_here: Any, house: tuple[Office, str], kind: str, **flags: Any) -> LocalRail:
    office, address = house
    process: LocalRail = await rail_here(kind, callback=f"{address}/{kind}/callbacks", delay=0.01, **flags
    )  # fmt: skip
    await activate(office, kind, process.url)
    return process


async def test_setting_up_and_trying_out(house: tuple[Office, str], rail_here: Any, tmp_path: Path) -> None:
    office, _ = house
    process = await rail_here("wallet")
    listed = (await office.ask("teller", "GET", "/rails")).json()["items"]
    assert [(each["name"], each["active"], each["waiting"]) for each in listed] == [
        (name, False, 0) for name in ("card", "interbank", "qr", "wallet")
    ]
    assert listed[3]["settlement_account"] == 156_300_112
    path = "/rails/wallet"
    assert (await office.ask("ops", "POST", f"{path}/tests")).json()["code"] == "state"
    missing = await office.ask("ops", "PATCH", path, {"active": True}, if_match='"1"')
    assert missing.json()["errors"][0]["field"] == "url"
    for bad in ("ftp://x", "http://", "http://u@x", "http://x/path", "http://x?y", "http://x:99999", "x", "http://[x"):
        refused = await office.ask("ops", "PATCH", path, {"url": bad}, if_match='"1"')
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "url"), bad
    limit = {"amount": "-1.00", "currency": "CNY"}
    assert (await office.ask("ops", "PATCH", path, {"limit": limit}, if_match='"1"')).status_code == 422
    body = {"url": process.url, "active": True, "limit": {"amount": "900.00"}}
    changed = await office.ask("ops", "PATCH", path, body, if_match='"1"')
    assert (changed.status_code, changed.headers["etag"], changed.json()["limit"]["amount"]) == (200, '"2"', "900.00")
    assert (await office.ask("ops", "PATCH", path, body, if_match='"1"')).status_code == 412
    assert (await office.ask("ops", "GET", "/rails/nothing")).status_code == 404

    tried = (await office.ask("ops", "POST", f"{path}/tests")).json()
    assert (tried["reachable"], tried["signature_taken"], tried["problem"]) == (True, True, "")
    (tmp_path / "wallet.keys").write_text(new_key_line("other") + "# a longer file\n")
    tried = (await office.ask("ops", "POST", f"{path}/tests")).json()
    assert (tried["reachable"], tried["signature_taken"], tried["problem"]) == (True, False, "status 401")
    (tmp_path / "wallet.keys").unlink()
    tried = (await office.ask("ops", "POST", f"{path}/tests")).json()
    assert (tried["reachable"], "wallet.keys" in tried["problem"]) == (False, True)


def money(text: str) -> dict[str, str]:
    return {"amount": text, "currency": "CNY"}


@pytest.mark.parametrize("cents", ["00", "51"])
async def test_paying_and_collecting(house: tuple[Office, str], rail_here: Any, cents: str) -> None:
    """The rail agrees, or refuses (…51); neither needs a person."""
    office, _ = house
    await start(rail_here, house, "wallet")
    mine = await account(office, 100_000)
    numbers = []
    for direction in ("pay", "collect"):
        body = {
            "direction": direction, "account": mine["number"], "amount": money(f"10.{cents}"), "instrument": "w-1",
            "reference": f"r-{direction}",
        }  # fmt: skip
        made = await office.ask("teller", "POST", "/rails/wallet/payments", body)
        again = await office.ask("teller", "POST", "/rails/wallet/payments", body)
        assert (made.status_code, again.status_code) == (201, 201), made.text
        assert made.json()["number"] == again.json()["number"]
        numbers.append(made.json()["number"])

    async def done() -> bool:
        answered = all(row["state"] in {"done", "declined"} for row in await orders(office, "wallet"))
        return answered and all([await ended(office, number) for number in numbers])

    await until(office, "wallet", done)
    states = [(await row_of(office, number))["state"] for number in numbers]
    words = [
        (await office.ask("teller", "GET", f"/payments/{numbers[0]}", accept_language=each)).json()["reason_text"]
        for each in ("en", "zh")
    ]
    refused = ["Not sufficient funds on the other side", "对方账户余额不足"]
    assert words == (["", ""] if cents == "00" else refused)
    assert states == (["captured", "captured"] if cents == "00" else ["voided", "declined"])
    assert (await balance(office, mine), await count_of_cases(office)) == (100_000, 0)
    found = (await office.ask("ops", "GET", "/rails/wallet/orders")).json()["items"]
    assert {each["payment"] for each in found} == set(numbers)
    first = (await office.ask("ops", "GET", "/rails/wallet/orders?limit=1")).json()
    rest = (await office.ask("ops", "GET", f"/rails/wallet/orders?cursor={first['next']}")).json()
    assert [*first["items"], *rest["items"]] == found
    events = (await office.ask("ops", "GET", f"/rails/wallet/events?payment={numbers[0]}")).json()["items"]
    assert {each["payment"] for each in events} == {numbers[0]}


async def test_what_is_wrong_names_the_field(office: Office) -> None:
    await office.add("teller", "teller")
    mine = await account(office)
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("wallet", {"instrument": ""}, "instrument"),
        ("wallet", {"amount": {"amount": "0.00"}}, "amount"),
        ("wallet", {"amount": {"amount": "1.001"}}, "amount"),
        ("wallet", {"account": "12345"}, "account"),
        ("interbank", {}, "outside"),
        ("interbank", {"direction": "collect", "outside": {"name": "X", "account": "1"}}, "outside"),
    ]
    for rail, change, field in wrong:
        body = {"direction": "pay", "account": mine["number"], "amount": money("1.00"), "instrument": "w"} | change
        response = await office.ask("teller", "POST", f"/rails/{rail}/payments", body)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field), change


async def test_one_code_and_many_who_collect_with_it(house: tuple[Office, str], rail_here: Any) -> None:
    office, _ = house
    process = await start(rail_here, house, "qr", duplicates=0.5)
    person = await account(office, 10_000)
    body = {"mode": "customer_presented", "account": person["number"], "most": money("50.00")}
    made = await office.ask("teller", "POST", "/rail-codes", body)
    assert made.status_code == 201
    code = made.json()["code"]
    assert len(code) == 18
    assert code.isdigit()
    for most in ("0.00", "99999999.00"):
        refused = await office.ask("teller", "POST", "/rail-codes", body | {"most": money(most)})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "most")

    async def collect(number: int) -> None:
        asked = {"kind": "debit", "name": f"O{number}", "amount_minor": 700, "instrument": {"code": code}}
        await asyncio.to_thread(process.ask, "POST", "/outside", json.dumps(asked).encode())

    await asyncio.gather(*(collect(number) for number in range(6)))

    async def decided() -> bool:
        return all(each["state"] in {"captured", "declined"} for each in process.book().values())

    await until(office, "qr", decided)

    async def booked() -> bool:
        return [row["state"] for row in await all_payments(office, "qr")] == ["captured"]

    await until(office, "qr", booked)
    assert sorted(each["state"] for each in process.book().values()) == ["captured"] + ["declined"] * 5
    assert await balance(office, person) == 9_300


async def test_money_that_came_in_goes_back(house: tuple[Office, str], rail_here: Any) -> None:
    """A refund of what somebody outside has paid: asked for by one, approved by another, done by the rail."""
    office, _ = house
    await office.add("risk", "risk_officer")
    process = await start(rail_here, house, "wallet")
    shop = await account(office)
    asked = {"kind": "credit", "name": "O1", "amount_minor": 700, "instrument": {"account": shop["number"]}}
    await asyncio.to_thread(process.ask, "POST", "/outside", json.dumps(asked).encode())

    async def booked() -> bool:
        return [row["state"] for row in await all_payments(office, "wallet")] == ["captured"]

    await until(office, "wallet", booked)
    (row,) = await all_payments(office, "wallet")
    asked_ = await office.ask(
        "ops", "POST", f"/payments/{row['number']}/refunds", {"amount": money("3.00"), "reason": "sent back"}
    )
    assert asked_.status_code == 202, asked_.text
    path = f"/approvals/{asked_.json()['approval_id']}/decision"
    assert (await office.ask("risk", "POST", path, {"approve": True})).status_code == 200

    async def back() -> bool:
        return bool((await row_of(office, row["number"]))["state"] == "partly_refunded")

    await until(office, "wallet", back)
    assert await balance(office, shop) == 400
    assert process.book()["O1"] == {"state": "partly_refunded", "captured_minor": 700, "refunded_minor": 300}


async def test_taking_up_what_was_given_up(house: tuple[Office, str]) -> None:
    office, _ = house
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        await activate(office, "wallet", f"http://127.0.0.1:{nobody.getsockname()[1]}", give_up_minutes=1)
        mine = await account(office, 10_000)
        body = {"direction": "pay", "account": mine["number"], "amount": money("1.00"), "instrument": "w"}
        assert (await office.ask("teller", "POST", "/rails/wallet/payments", body)).status_code == 201
        (order,) = await orders(office, "wallet")
        path = f"/rails/wallet/orders/{order['reference']}/attempts"
        assert (await office.ask("ops", "POST", path)).json()["code"] == "state"
        await turn(office, "wallet")
        office.pass_by(minutes=2)
        from backoffice.rails import sending

        await sending.send_due(office.app.state.office, "wallet")
    listed = (await office.ask("ops", "GET", "/rails")).json()["items"][3]
    assert (listed["waiting"], listed["given_up"]) == (0, 1)
    taken = await office.ask("ops", "POST", path)
    assert (taken.status_code, taken.json()["state"]) == (200, "waiting")
    assert not await told(office, "wallet")
