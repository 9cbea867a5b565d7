"""Search against a plain model: everything that fits, nothing else, in order, on pages that neither skip nor repeat."""

import random
from typing import Any

import pytest

from backoffice.search import figures
from backoffice.search.tokens import fits
from tests.backoffice.conftest import Office
from tests.backoffice.customers.make import enterprise_body, make, person_body
from tests.backoffice.payments.institution import Order, account, pay

REGIONS = ("410105", "410103", "410303", "110101", "")
TAGS = ("vip", "staff", "new", "old")


async def filled(office: Office, count: int) -> list[dict[str, Any]]:
    """Make customers; give what was sent, with the number of each."""
    draw = random.Random(3)
    known = []
    async with office.transaction() as context:
        for place in range(count):
            changes = {"region": draw.choice(REGIONS), "tags": sorted(draw.sample(TAGS, draw.randint(0, 2)))}
            body = person_body(**changes) if place % 4 else enterprise_body(**changes)
            row = await make(context, body, active=draw.random() < 0.7)
            known.append(body | {"customer_id": row["customer_id"], "status": row["status"],
                                 "birth_year": int(row["birth_date"][:4]) if row["birth_date"] else None})  # fmt: skip
    return known


async def asked(office: Office, body: dict[str, Any]) -> list[int]:
    """Ask for all pages; give the customers' numbers."""
    found: list[int] = []
    cursor = None
    while True:
        answer = await office.ask("li", "POST", "/customers/search", body | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= body.get("limit", 50)
        found += [each["customer_id"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            return found


def expected(known: list[dict[str, Any]], query: dict[str, Any]) -> list[int]:
    """The plain model."""

    def good(each: dict[str, Any]) -> bool:
        equal = all(each[name] == query[name] for name in ("kind", "status", "branch") if name in query)
        years = query.get("birth_year", {})
        year = each["birth_year"]
        return (
            equal
            and each["region"].startswith(query.get("region", ""))
            and set(query.get("tags", ())) <= set(each["tags"])
            and fits(each["name"], query.get("text", ""))
            and (not years or (year is not None and years.get("least", 0) <= year <= years.get("most", 9999)))
            and ("phone" not in query or each.get("phone") == query["phone"])
            and ("certificate" not in query or each["certificate"]["number"] == query["certificate"])
        )

    numbers = [each["customer_id"] for each in known if good(each)]
    return sorted(numbers, reverse=query.get("sort", "newest") == "newest")


async def test_any_combination_finds_what_the_model_finds(office: Office) -> None:
    await office.add("li", "teller")
    known = await filled(office, 160)
    draw = random.Random(9)
    texts = ("王", "wang", "zhengzhou", "zz", "商贸", "li", "明", "wm", "l")
    hits = 0
    for _ in range(120):
        one = draw.choice(known)
        dimensions: dict[str, Any] = {
            "kind": draw.choice(("person", "enterprise")), "status": draw.choice(("active", "prospect")),
            "branch": "HO", "region": draw.choice(("41", "4101", "410105", "11", "99")),
            "tags": draw.sample(TAGS, draw.randint(1, 2)),
            "text": draw.choice((*texts, one["name"], one["name"][:2], one["name"][-2:])),
            "birth_year": {"least": draw.choice((1970, 1980, 1981))},
            "phone": one.get("phone", "13812345678"), "certificate": one["certificate"]["number"],
        }  # fmt: skip
        chosen = draw.sample(sorted(dimensions), draw.randint(0, 3))
        query = {name: dimensions[name] for name in chosen} | {"sort": draw.choice(("newest", "oldest"))}
        wanted = expected(known, query)
        assert await asked(office, query | {"limit": draw.choice((1, 7, 200)) if len(wanted) < 20 else 50}) == wanted, (
            query
        )
        hits += len(wanted)
    assert hits > 500  # it was worth asking


async def test_names_are_masked_and_what_was_asked_for_stays_unsaid(office: Office) -> None:
    await office.add("li", "teller")
    await office.add("eye", "auditor")
    async with office.transaction() as context:
        await make(context, person_body(name="欧阳长风", phone="13800001111"))
    answer = await office.ask("li", "POST", "/customers/search", {"text": "ouyang"})
    assert [each["name"] for each in answer.json()["items"]] == ["欧***"]
    assert (await office.ask("li", "POST", "/customers/search", {"phone": "138-0000-1111"})).json()["items"]
    for text in ("长风", "13800001111"):
        assert text not in answer.text
    entries = (await office.ask("eye", "GET", "/audit?action=customers.search")).json()["items"]
    assert [each["detail"] for each in entries] == ['{"by":["phone"],"found":1}', '{"by":["text"],"found":1}']


async def test_a_change_is_found_at_once(office: Office) -> None:
    await office.add("li", "teller")
    async with office.transaction() as context:
        row = await make(context, person_body(name="王大"))
    path = f"/customers/{row['customer_id']}"
    changed = await office.ask("li", "PATCH", path, {"name": "赵二", "tags": ["x"]}, if_match=f'"{row["version"]}"')
    assert changed.status_code == 200
    assert await asked(office, {"text": "wangda"}) == []
    assert await asked(office, {"text": "zhaoer", "tags": ["x"]}) == [row["customer_id"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [({"phone": "1"}, "phone"), ({"email": "x"}, "email"), ({"cursor": "bm8"}, "cursor"), ({"sort": "name"}, "sort"),
     ({"deposits": {"least": "1.001"}}, "deposits.least"), ({"region": "x"}, "region"), ({"nothing": 1}, "nothing")],
)  # fmt: skip
async def test_what_is_wrong_names_its_field(office: Office, body: dict[str, Any], field: str) -> None:
    await office.add("li", "teller")
    answer = await office.ask("li", "POST", "/customers/search", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_a_cursor_is_good_for_its_query_alone(office: Office) -> None:
    await office.add("li", "teller")
    await filled(office, 5)
    first = (await office.ask("li", "POST", "/customers/search", {"limit": 2})).json()
    other = await office.ask("li", "POST", "/customers/search", {"kind": "person", "cursor": first["next"]})
    assert other.json()["errors"][0]["field"] == "cursor"


async def test_figures_follow_the_ledger(bank: Office) -> None:
    await bank.add("li", "teller")
    rich, poor = await account(bank, 5_000_000), await account(bank, 10_000)
    services = bank.app.state.office
    while await figures.refresh(services):
        pass
    found = (await bank.ask("li", "POST", "/customers/search", {"deposits": {"least": "1000"}})).json()["items"]
    assert [(each["customer_id"], each["deposits"]["amount"]) for each in found] == [(rich["customer_id"], "50000.00")]
    assert found[0]["products"] == ["demand"]
    order = Order("transfer", "mobile", 4_500_000, from_account=rich["account_id"], to_account=poor["account_id"],
                  two_persons=False)  # fmt: skip
    bank.pass_by(minutes=10)
    assert (await pay(bank, order))["state"] == "captured"
    while await figures.refresh(services):
        pass
    query = {"deposits": {"least": "1000"}, "products": ["demand"], "sort": "deposits"}
    assert await asked(bank, query) == [poor["customer_id"], rich["customer_id"]]
    assert await asked(bank, {"deposits": {"most": "4999.99"}}) == []
