"""What belongs to a customer: papers, notes, owners, relations, history; lookups; merging."""

from typing import Any

import pytest

from backoffice.customers import owners, service
from tests.backoffice.conftest import Office
from tests.backoffice.customers.make import enterprise, person, resident_id
from tests.backoffice.payments import institution

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20


async def staff(office: Office) -> None:
    for name, role in (("teller", "teller"), ("comply", "compliance"), ("ops", "operations")):
        await office.add(name, role)


async def test_documents_and_notes(office: Office) -> None:
    await staff(office)
    row = await person(office)
    path = f"/customers/{row['customer_id']}/documents"

    async def send(content: bytes, media: str, query: str = "kind=certificate", key: str = "") -> Any:
        headers = {"content-type": media, "authorization": f"Bearer {office.tokens['teller']}"}
        headers["idempotency-key"] = key or f"key-{next(office.keys)}"
        return await office.client.post(f"/api/v1{path}?{query}", content=content, headers=headers)

    first = await send(PNG, "image/png", "kind=certificate&expires_on=2030-01-01", "same")
    assert (first.status_code, first.json()["bytes"]) == (201, len(PNG)), first.text
    assert (await send(PNG, "image/png", "kind=certificate&expires_on=2030-01-01", "same")).json() == first.json()
    for content, media, query, field in (
        (b"GIF89a", "image/png", "kind=certificate", "content"),
        (b"MZ", "application/x-msdownload", "kind=certificate", "content-type"),
        (b"", "image/png", "kind=certificate", "content"),
        (b"\xff", "text/plain", "kind=certificate", "content"),
        (PNG, "image/png", "kind=selfie", "kind"),
        (PNG, "image/png", "kind=certificate&expires_on=2020-01-01", "expires_on"),
        (PNG + bytes(10 << 20), "image/png", "kind=certificate", "content"),
    ):
        answer = await send(content, media, query)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    one = f"{path}/{first.json()['document_id']}"
    assert (await office.ask("teller", "GET", one)).status_code == 403
    read = await office.ask("comply", "GET", one)
    assert (read.content, read.headers["content-type"]) == (PNG, "image/png")
    assert len((await office.ask("teller", "GET", path)).json()["items"]) == 1
    notes = f"/customers/{row['customer_id']}/notes"
    made = await office.ask("teller", "POST", notes, {"text": "prefers 信件"})
    assert (made.status_code, "text" in made.json()) == (201, False), "an answer that is kept says nothing personal"
    assert (await office.ask("teller", "GET", notes)).json()["items"][0]["text"] == "prefers 信件"
    async with office.transaction() as context:
        for table in ("customer_documents", "customer_notes"):
            text = f"SELECT sealed FROM office.{table}"
            (sealed,) = (await context.connection.exec_driver_sql(text)).scalars().all()
            assert PNG[:8] not in sealed
            assert "信件".encode() not in sealed


async def test_owners_and_relations(office: Office) -> None:
    await staff(office)
    firm = await enterprise(office)
    path = f"/customers/{firm['customer_id']}"
    body = {
        "owners": [
            {
                "name": "赵一",
                "share_ppm": 250_000,
                "certificate_kind": "resident_id",
                "certificate_number": resident_id(1),
            },
            {"name": "钱二", "share_ppm": 249_999},
            {"name": "孙三", "basis": "senior_manager"},
        ]
    }
    version = firm["version"]
    assert (await office.ask("teller", "PUT", f"{path}/owners", body)).status_code == 428
    done = await office.ask("teller", "PUT", f"{path}/owners", body, if_match=f'"{version}"')
    assert (done.status_code, done.json()["version"]) == (200, version + 1), done.text
    stale = await office.ask("teller", "PUT", f"{path}/owners", body, if_match=f'"{version}"')
    assert stale.status_code == 412
    items = (await office.ask("teller", "GET", f"{path}/owners")).json()["items"]
    assert [(each["name"], each["beneficial"]) for each in items] == [("赵*", True), ("钱*", False), ("孙*", True)]
    for wrong, field in (
        ([{"name": "a", "share_ppm": 600_000}, {"name": "b", "share_ppm": 600_000}], "owners"),
        ([{"name": "a"}], "owners.0.share_ppm"),
        ([{"name": "a", "share_ppm": 1, "owner_id": 7}], "owners.0.owner_id"),
        ([{"name": "a", "share_ppm": 1, "certificate_number": "1"}], "owners.0.certificate_number"),
    ):
        refused = await office.ask("teller", "PUT", f"{path}/owners", {"owners": wrong}, if_match=f'"{version + 1}"')
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    async with office.transaction() as context:
        assert await owners.names_in_clear(context, firm["customer_id"]) == ["赵一", "钱二", "孙三"]
    one, two = await person(office), await person(office)
    path = f"/customers/{one['customer_id']}/relations"
    body = {"other_id": two["customer_id"], "kind": "parent"}
    assert (await office.ask("teller", "POST", path, body)).status_code == 201
    assert (await office.ask("teller", "POST", path, body)).json()["code"] == "exists"
    assert (await office.ask("teller", "POST", path, body | {"other_id": one["customer_id"]})).status_code == 422
    other = (await office.ask("teller", "GET", f"/customers/{two['customer_id']}/relations")).json()["items"]
    assert [(each["other_id"], each["kind"]) for each in other] == [(one["customer_id"], "child")]
    assert (await office.ask("teller", "DELETE", f"{path}/{other[0]['relation_id']}")).status_code == 204
    assert (await office.ask("teller", "DELETE", f"{path}/{other[0]['relation_id']}")).status_code == 404


async def test_history_and_lookups(office: Office) -> None:
    await staff(office)
    row = await person(office, phone="13812345678", email="Ada@Example.com", occupation="cook")
    path = f"/customers/{row['customer_id']}"
    version = row["version"]
    done = await office.ask("teller", "PATCH", path, {"occupation": "baker"}, if_match=f'"{version}"')
    assert done.status_code == 200
    told = (await office.ask("teller", "GET", f"{path}/history")).json()["items"]
    assert (told[0]["version"], told[0]["action"], "cook" in str(told)) == (version, "change", False)
    asked = f"{path}/history/{version}/unmasking"
    assert (await office.ask("teller", "POST", asked, {"reason": "curious"})).status_code == 403
    before = await office.ask("comply", "POST", asked, {"reason": "dispute"})
    assert before.json()["fields"]["occupation"] == "cook"
    await person(office)
    for body, found in (
        ({"phone": "+86 138 1234 5678"}, 1),
        ({"email": "ada@example.COM"}, 1),
        ({"phone": "13812345679"}, 0),
        ({"phone": "13812345678", "email": "other@example.com"}, 0),
    ):
        items = (await office.ask("teller", "POST", "/customers/lookups", body)).json()["items"]
        assert [each["customer_id"] for each in items] == [row["customer_id"]] * found
    for body, field in (({}, "certificate_number"), ({"phone": "1"}, "phone")):
        answer = await office.ask("teller", "POST", "/customers/lookups", body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_merged_with_everything_and_nothing_lost(bank: Office) -> None:
    await staff(bank)
    one = await person(bank, phone="13700000001", tags=["vip"])
    two = await person(bank, phone="13700000001", tags=["old"], name="李四")
    gone, into = one["customer_id"], two["customer_id"]
    found = (await bank.ask("ops", "GET", f"/customers/{gone}/duplicates")).json()["items"]
    assert [(each["customer_id"], "phone" in each["reasons"]) for each in found] == [(into, True)]
    account = await institution.account(bank, 700, gone)
    await bank.ask("teller", "POST", f"/customers/{gone}/notes", {"text": "prefers letters"})
    await bank.ask("teller", "POST", f"/customers/{gone}/relations", {"other_id": into, "kind": "spouse"})
    async with bank.transaction() as context:
        fields = await service.open_fields(context, await service.row_of(context, gone))
    asked = await bank.ask("ops", "POST", f"/customers/{gone}/merging", {"into": into, "reason": "same person"})
    assert asked.status_code == 202, asked.text
    decision = f"/approvals/{asked.json()['approval_id']}/decision"
    assert (await bank.ask("ops", "POST", decision, {"approve": True})).status_code == 403
    done = await bank.ask("comply", "POST", decision, {"approve": True})
    assert done.status_code == 200, done.text
    assert done.json()["result"]["moved"]["accounts"] == 1
    merged = (await bank.ask("teller", "GET", f"/customers/{gone}")).json()
    assert (merged["status"], merged["merged_into"]) == ("closed", into)
    seen = (await bank.ask("teller", "GET", f"/customers/{into}/overview")).json()
    assert [(each["account_id"], each["balance"]["amount"]) for each in seen["accounts"]] == [
        (account["account_id"], "7.00")
    ]
    assert account["number"] not in str(seen)
    assert (seen["merged_from"], seen["customer"]["tags"], seen["relations"]) == ([gone], ["old", "vip"], [])
    notes = (await bank.ask("teller", "GET", f"/customers/{into}/notes")).json()["items"]
    assert [each["text"] for each in notes] == ["prefers letters"]
    async with bank.transaction() as context:
        assert await service.open_fields(context, await service.row_of(context, gone)) == fields
    again = await bank.ask("ops", "POST", f"/customers/{gone}/merging", {"into": into, "reason": "again"})
    assert (again.status_code, again.json()["merged_into"]) == (409, into)


@pytest.mark.parametrize("which", [0, 1])
async def test_frozen_customers_are_not_merged(office: Office, which: int) -> None:
    """Merging must not get money out of a freeze, nor into one."""
    await staff(office)
    numbers = [(await person(office))["customer_id"] for _ in range(2)]
    async with office.transaction() as context:
        await service.freeze(context, numbers[which], "court order")
    answer = await office.ask("ops", "POST", f"/customers/{numbers[0]}/merging", {"into": numbers[1], "reason": "same"})
    assert (answer.status_code, answer.json()["state"]) == (409, "frozen")


async def test_an_overview_without_the_ledger(office: Office) -> None:
    await staff(office)
    row = await person(office)
    async with office.transaction() as context:
        await institution.product(context)
        await institution.accounts.open_(
            context, customer_id=row["customer_id"], kind="demand", product_id="TEST-DEMAND", product_version=1,
            currency="CNY", branch="HO",
        )  # fmt: skip
    seen = (await office.ask("teller", "GET", f"/customers/{row['customer_id']}/overview")).json()
    assert (seen["ledger_answers"], seen["accounts"][0]["balance"]) == (False, None)
