"""Two persons, one decision, one effect; retries; and what is told in which language."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.backoffice.conftest import Office

CHANGE = {"value": 4_000_000, "valid_from": "2027-01-01", "source": "a notice"}
PATH = "/parameters/large_value.cash_cny/values"


async def asked(office: Office) -> int:
    await office.add("maker", "product_manager")
    await office.add("checker", "risk_officer")
    response = await office.ask("maker", "POST", PATH, CHANGE)
    assert response.status_code == 202
    return int(response.json()["approval_id"])


async def values(office: Office) -> list[Any]:
    body = (await office.ask("maker", "GET", "/parameters?name=large_value.cash_cny")).json()
    return [(row["value"], row["valid_to"]) for row in body["items"]]


async def test_a_second_person_makes_it_so(office: Office) -> None:
    number = await asked(office)
    assert await values(office) == [(5_000_000, None)]
    response = await office.ask("checker", "POST", f"/approvals/{number}/decision", {"approve": True})
    assert response.status_code == 200
    body = response.json()
    assert (body["state"], body["maker_name"], body["checker_name"]) == ("approved", "maker", "checker")
    assert await values(office) == [(5_000_000, "2026-12-31"), (4_000_000, None)]


async def test_the_maker_is_not_the_checker(office: Office) -> None:
    await office.add("both", "risk_officer")
    number = (await office.ask("both", "POST", PATH, CHANGE)).json()["approval_id"]
    response = await office.ask("both", "POST", f"/approvals/{number}/decision", {"approve": True})
    assert (response.status_code, response.json()["code"]) == (409, "same_person")
    connection = await asyncpg.connect(office.dsn)
    with pytest.raises(asyncpg.CheckViolationError, match="another_person"):
        await connection.execute("UPDATE office.approvals SET state = 'approved', checker = maker, decided_at = now()")
    await connection.close()


async def test_of_many_deciders_one_decides(office: Office) -> None:
    number = await asked(office)
    answers = await asyncio.gather(
        *(office.ask("checker", "POST", f"/approvals/{number}/decision", {"approve": True}) for _ in range(12))
    )
    assert sorted(each.status_code for each in answers) == [200] + [409] * 11
    assert len(await values(office)) == 2


async def test_rejecting_needs_a_reason_and_changes_nothing(office: Office) -> None:
    number = await asked(office)
    path = f"/approvals/{number}/decision"
    assert (await office.ask("checker", "POST", path, {"approve": False})).status_code == 422
    assert (await office.ask("checker", "POST", path, {"approve": False, "reason": "no"})).json()["state"] == "rejected"
    assert await values(office) == [(5_000_000, None)]
    assert (await office.ask("checker", "POST", path, {"approve": True})).json()["code"] == "state"


async def test_only_the_maker_withdraws(office: Office) -> None:
    number = await asked(office)
    path = f"/approvals/{number}/withdrawal"
    assert (await office.ask("checker", "POST", path)).json()["code"] == "not_permitted"
    assert (await office.ask("maker", "POST", path)).json()["state"] == "withdrawn"


async def test_deciding_needs_the_permission_of_the_kind(office: Office) -> None:
    number = await asked(office)
    await office.add("teller", "teller")
    response = await office.ask("teller", "POST", f"/approvals/{number}/decision", {"approve": True})
    assert response.json()["permission"] == "parameters.approve"


async def test_what_has_become_impossible_stays_open(office: Office) -> None:
    """A Problem while it is done undoes the decision."""
    number = await asked(office)
    office.pass_by(days=60)
    office.tokens["checker"] = (await office.log_on("checker")).json()["token"]
    response = await office.ask("checker", "POST", f"/approvals/{number}/decision", {"approve": True})
    assert response.json()["errors"][0]["field"] == "valid_from"
    assert (await office.ask("checker", "GET", f"/approvals/{number}")).json()["state"] == "open"


# --- retries ----------------------------------------------------------------------------------------


async def test_twenty_of_the_same_key_are_one(office: Office) -> None:
    await office.add("maker", "product_manager")
    answers = await asyncio.gather(
        *(office.ask("maker", "POST", PATH, CHANGE, idempotency_key="same") for _ in range(20))
    )
    assert {each.status_code for each in answers} == {202}
    assert len({each.text for each in answers}) == 1
    assert sum("idempotency-replayed" not in each.headers for each in answers) == 1
    assert len((await office.ask("maker", "GET", "/approvals")).json()["items"]) == 1


async def test_a_key_is_for_one_request_and_one_user(office: Office) -> None:
    await office.add("maker", "product_manager")
    await office.add("other", "product_manager")
    await office.ask("maker", "POST", PATH, CHANGE, idempotency_key="k")
    again = await office.ask("maker", "POST", PATH, CHANGE | {"value": 1}, idempotency_key="k")
    assert (again.status_code, again.json()["code"]) == (422, "key_reused")
    other = await office.ask("other", "POST", PATH, CHANGE, idempotency_key="k")
    assert (other.status_code, "idempotency-replayed" in other.headers) == (202, False)
    missing = await office.ask("maker", "POST", PATH, CHANGE, idempotency_key="")
    assert missing.json()["code"] == "key_missing"


async def test_what_failed_may_be_tried_again(office: Office) -> None:
    await office.add("maker", "product_manager")
    bad = await office.ask("maker", "POST", PATH, CHANGE | {"valid_from": "2020-01-01"}, idempotency_key="k")
    assert bad.status_code == 422
    assert (await office.ask("maker", "POST", PATH, CHANGE, idempotency_key="k")).status_code == 202


# --- audit and languages ------------------------------------------------------------------------------


async def test_what_was_done_is_found_and_so_is_the_search(office: Office) -> None:
    number = await asked(office)
    await office.ask("checker", "POST", f"/approvals/{number}/decision", {"approve": True})
    await office.add("auditor", "auditor")
    body = (await office.ask("auditor", "GET", "/audit?subject=parameter:large_value.cash_cny")).json()
    assert [each["action"] for each in body["items"]] == ["approvals.approved", "parameters.change", "approvals.ask"]
    assert (await office.ask("auditor", "GET", "/audit?action=audit.*")).json()["items"][0]["user_name"] == "auditor"
    assert (await office.ask("auditor", "GET", "/audit?since=2026-01-01T00:00:00")).json()["errors"][0][
        "field"
    ] == "since"


@pytest.mark.parametrize(
    ("header", "language", "title"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh", "请先登录"),
        ("en-GB,zh;q=0.5", "en", "Log on first"),
        ("fr;q=0.9,zh;q=0.1", "zh", "请先登录"),
        ("", "en", "Log on first"),
        ("zh;q=x", "en", "Log on first"),
    ],
)
async def test_problems_are_told_in_the_caller_s_language(
    office: Office, header: str, language: str, title: str
) -> None:
    response = await office.ask(None, "GET", "/me", accept_language=header)
    assert (response.headers["content-language"], response.json()["title"]) == (language, title)
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", "/nothing", "not_found"), ("PUT", "/users", "method_not_allowed")]
)
async def test_what_is_not_there(office: Office, method: str, path: str, code: str) -> None:
    response = await office.ask(None, method, path)
    assert response.json()["code"] == code
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_body_that_is_not_json(office: Office) -> None:
    response = await office.client.post("/api/v1/sessions", content=b"{", headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, "malformed")
