"""Payments over HTTP: outcomes in answers and replays, two persons, reversal and refund, lists."""

import asyncio
from typing import Any

import pytest

from backoffice.payments import rails_api
from tests.backoffice.conftest import Office
from tests.backoffice.payments.institution import PaperRail, account, balance


async def people(bank: Office) -> None:
    await bank.add("teller", "teller")
    await bank.add("ops", "operations")
    await bank.add("risk", "risk_officer")


def amount(text: str, currency: str = "CNY") -> dict[str, str]:
    return {"amount": text, "currency": currency}


async def decided(bank: Office, who: str, asked: Any, approve: bool = True) -> Any:
    body = {"approve": approve, "reason": "" if approve else "no"}
    response = await bank.ask(who, "POST", f"/approvals/{asked['approval_id']}/decision", body)
    assert response.status_code == 200, response.text
    return response.json()


async def until(bank: Office, number: str, state: str) -> Any:
    """What a decision plans, the worker settles."""
    async with asyncio.timeout(20):
        while (now := (await bank.ask("teller", "GET", f"/payments/{number}")).json())["state"] != state:
            await asyncio.sleep(0.02)
    return now


async def test_the_answer_tells_the_outcome_and_so_does_a_replay(bank: Office) -> None:
    await people(bank)
    a = await account(bank)
    body = {"account": a["number"], "amount": amount("120.50"), "purpose": "工资"}
    made = await bank.ask("teller", "POST", "/payments/deposits", body, idempotency_key="k1")
    assert (made.status_code, made.json()["state"], made.json()["captured"]) == (201, "captured", amount("120.50"))
    again = await bank.ask("teller", "POST", "/payments/deposits", body, idempotency_key="k1")
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == made.json()
    out = {"account": a["number"], "amount": amount("120.51")}
    declined = await bank.ask("teller", "POST", "/payments/withdrawals", out)
    assert (declined.status_code, declined.json()["state"]) == (201, "declined")
    assert (declined.json()["reason"], declined.json()["reason_text"]) == (
        "exceeds_credits", "Not enough money on the account",
    )  # fmt: skip
    path = f"/payments/{declined.json()['number']}"
    told = await bank.ask("teller", "GET", path, accept_language="zh-CN")
    assert told.json()["reason_text"] == "账户余额不足"
    one = (await bank.ask("teller", "GET", f"/payments/{made.json()['number']}")).json()
    assert [(each["kind"], each["outcome"]) for each in one["events"]] == [
        ("authorise", "applied"),
        ("capture", "applied"),
    ]
    assert [(each["credit_account"], each["status"]) for each in one["postings"]] == [(a["number"], "created")]
    assert await balance(bank, a) == 12_050


async def test_a_reversal_takes_two_persons_and_undoes_the_fee_too(bank: Office) -> None:
    await people(bank)
    a, b = await account(bank, 10_000), await account(bank)
    body = {"from_account": a["number"], "to_account": b["number"], "amount": amount("40.00")}
    made = (await bank.ask("teller", "POST", "/payments/transfers", body)).json()
    assert made["state"] == "captured"
    path = f"/payments/{made['number']}"
    asked = await bank.ask("ops", "POST", f"{path}/reversals", {"reason": "wrong account"})
    assert asked.status_code == 202
    alone = await bank.ask("ops", "POST", f"/approvals/{asked.json()['approval_id']}/decision", {"approve": True})
    assert alone.json()["code"] == "same_person"
    await decided(bank, "risk", asked.json())
    now = await until(bank, made["number"], "reversed")
    assert (now["state"], now["reason"]) == ("reversed", "wrong account")
    assert (await balance(bank, a), await balance(bank, b)) == (10_000, 0)
    twice = await bank.ask("ops", "POST", f"{path}/reversals", {"reason": "again"})
    assert (twice.status_code, twice.json()["code"]) == (409, "state")


async def test_large_amounts_wait_for_a_second_person(bank: Office) -> None:
    await people(bank)
    a = await account(bank)
    body = {"account": a["number"], "amount": amount("500000.00")}
    made = (await bank.ask("teller", "POST", "/payments/deposits", body)).json()
    assert made["state"] == "created"
    assert made["approval_id"]
    await decided(bank, "risk", made)
    other = (await bank.ask("teller", "POST", "/payments/deposits", body)).json()
    await decided(bank, "risk", other, approve=False)
    path = f"/payments/{other['number']}"
    assert (await bank.ask("teller", "GET", path)).json()["state"] == "declined"
    assert (await bank.ask("teller", "GET", path)).json()["reason"] == "not_approved"
    await until(bank, made["number"], "captured")
    assert await balance(bank, a) == 50_000_000


async def test_lists_by_account_state_and_day_in_pages(bank: Office) -> None:
    await people(bank)
    a, b = await account(bank, 1_000), await account(bank)
    for _ in range(3):
        body = {"from_account": a["number"], "to_account": b["number"], "amount": amount("4.00")}
        await bank.ask("teller", "POST", "/payments/transfers", body)
    states, cursor = [], ""
    while True:
        answer = (await bank.ask("teller", "GET", f"/payments?account={b['number']}&limit=2{cursor}")).json()
        states += [each["state"] for each in answer["items"]]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert states == ["declined", "captured", "captured"]
    only = (
        await bank.ask("teller", "GET", f"/payments?state=declined&day={answer['items'][0]['business_date']}")
    ).json()
    assert len(only["items"]) == 1
    none = (await bank.ask("teller", "GET", "/payments?day=2020-01-01")).json()
    assert none == {"items": [], "next": None}


async def test_who_may_see_the_other_side_in_clear(bank: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rails_api.RAILS, "paper", PaperRail())
    await people(bank)
    await bank.add("rm", "relationship_manager")
    a = await account(bank, 10_000)
    party = {"name": "王小明", "account": "6228000012345678901", "bank": {"member": "102491002035"}}
    body = {
        "from_account": a["number"], "outside": party, "rail": "paper", "amount": amount("5.00"), "reference": "R-77",
    }  # fmt: skip
    made = (await bank.ask("teller", "POST", "/payments/transfers", body)).json()
    assert made["outside"] == {"name": "王**", "account": "622800*********8901", "bank": "102491002035"}
    assert (made["state"], made["settled"]) == ("authorised", True)
    path = f"/payments/{made['number']}?unmask=true"
    assert (await bank.ask("teller", "GET", path)).status_code == 403
    assert (await bank.ask("rm", "GET", path)).json()["outside"]["account"] == "6228000012345678901"
    await bank.add("audit", "auditor")
    seen = (await bank.ask("audit", "GET", "/audit?action=payments.unmask")).json()["items"]
    assert [(each["user_name"], each["subject"]) for each in seen] == [("rm", f"payment:{made['number']}")]
    found = (await bank.ask("teller", "GET", "/payments?reference=R-77")).json()["items"]
    assert [each["number"] for each in found] == [made["number"]]


async def test_bad_requests_name_the_field(bank: Office) -> None:
    await people(bank)
    a, b = await account(bank), await account(bank, currency="USD")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"from_account": a["number"], "to_account": "9901569999999999999", "amount": amount("1")}, "to_account"),
        ({"from_account": a["number"], "amount": amount("1")}, "to_account"),
        ({"from_account": a["number"], "to_account": a["number"], "amount": amount("1")}, "to_account"),
        ({"from_account": a["number"], "to_account": b["number"], "amount": amount("1")}, "to_account"),
        ({"from_account": a["number"], "to_account": b["number"], "amount": amount("1.001")}, "amount"),
        (
            {
                "from_account": a["number"],
                "outside": {"name": "X", "account": "1234", "bank": {"name": "Y"}},
                "rail": "nowhere",
                "amount": amount("1"),
            },
            "rail",
        ),
    ]
    for body, field in cases:
        response = await bank.ask("teller", "POST", "/payments/transfers", body)
        assert response.status_code == 422, (field, response.text)
        assert response.json()["errors"][0]["field"] == field
