"""Files of payments: findings, two persons, limits as a whole, linked and independent items, reports, once each."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from backoffice.api.app import PREFIX
from backoffice.cli import main
from backoffice.ledger import agreement
from backoffice.payments import bulk, bulk_run, rails_api, service
from backoffice.payments.iso20022 import schema
from backoffice.payments.iso20022 import statement as messages
from backoffice.payments.states import Event, Kind
from backoffice.payments.tables import payment_use, payments
from backoffice.tables import parameters
from tests.backoffice.conftest import Office
from tests.backoffice.payments.institution import AT, PaperRail, account, balance
from tests.backoffice.payments.messages import pain001

OUTSIDE = "6228000000000009"


def file_of(payer: str, to: list[str], name: str = "M-1") -> bytes:
    """Rows of 10.50, 20.50, … to these accounts."""

    def change(content: str) -> str:
        for number, other in enumerate(to, 1):
            content = content.replace(f"<Id>62280000{number:08d}</Id>", f"<Id>{other}</Id>")
        return content.replace("6217000000000001", payer).replace("<MsgId>M-1<", f"<MsgId>{name}<")

    return pain001(len(to), change=change)


@pytest.fixture
async def staff(bank: Office, monkeypatch: pytest.MonkeyPatch) -> PaperRail:
    await bank.add("ops", "operations")
    await bank.add("risk", "risk_officer")
    rail = PaperRail("interbank")
    monkeypatch.setitem(rails_api.RAILS, "interbank", rail)
    async with bank.transaction() as context:
        await context.connection.execute(
            text("INSERT INTO office.business_date (day, moved_at) VALUES ('2026-11-24', now())")
        )
    return rail


async def send(bank: Office, content: bytes, query: str = "", key: str = "") -> Any:
    headers = {
        "authorization": f"Bearer {bank.tokens['ops']}", "content-type": "application/xml",
        "idempotency-key": key or f"file-{next(bank.keys)}",
    }  # fmt: skip
    return await bank.client.post(f"{PREFIX}/bulk-payments{query}", content=content, headers=headers)


async def decide(bank: Office, batch: Any, approve: bool = True) -> Any:
    body = {"approve": approve, "reason": "" if approve else "no"}
    return await bank.ask("risk", "POST", f"/approvals/{batch['approval_id']}/decision", body)


async def run(bank: Office, batch_id: int) -> None:
    """What the work beside requests does, until nothing moves."""
    for _ in range(50):
        async with bank.transaction() as context:
            moved, groups = await bulk_run.portion(context, batch_id)
        assert await bank.gateway.settle(groups, 20)
        if not moved:
            return
    raise AssertionError("it never ends")


async def seen(bank: Office, batch_id: int) -> Any:
    return (await bank.ask("ops", "GET", f"/bulk-payments/{batch_id}")).json()


async def test_a_file_is_paid_after_two_persons(bank: Office, staff: PaperRail) -> None:
    a, b, c = await account(bank, 100_000), await account(bank), await account(bank)
    content = file_of(a["number"], [b["number"], c["number"], OUTSIDE, b["number"]])
    answer = await send(bank, content)
    batch = answer.json()
    assert (answer.status_code, batch["state"], batch["accepted"]) == (201, "waiting", 4)
    assert batch["totals"] == [{"amount": "102.00", "currency": "CNY"}]
    await run(bank, batch["batch_id"])
    assert await balance(bank, b) == 0, "nobody has approved it"
    assert (await decide(bank, batch)).status_code == 200
    await run(bank, batch["batch_id"])
    assert (await balance(bank, b), await balance(bank, c)) == (1_050 + 4_050, 2_050)
    now = await seen(bank, batch["batch_id"])
    assert (now["state"], now["counts"]) == ("running", {"paid": 3, "held": 1})
    pacs = await bank.ask("ops", "GET", f"/bulk-payments/{batch['batch_id']}/interbank.xml")
    document = schema.open_document(pacs.content)
    assert schema.check(document) == []
    assert document.find("FIToFICstmrCdtTrf/CdtTrfTxInf").value("CdtrAcct/Id/Othr/Id") == OUTSIDE  # type: ignore[union-attr]
    async with bank.transaction() as context:
        row = (await bulk.items_of(context, batch["batch_id"], state="held"))[0]
        payment = await service.get(context, row["payment"])
        await service.rail_event(context, payment, Event("no", Kind.DECLINE), reason="AC01")
    async with asyncio.timeout(20):
        while (await seen(bank, batch["batch_id"]))["counts"].get("held"):
            await asyncio.sleep(0.05)
    await run(bank, batch["batch_id"])
    assert (await seen(bank, batch["batch_id"]))["state"] == "done"
    assert await balance(bank, a) == 100_000 - 7_150
    report = await bank.ask("ops", "GET", f"/bulk-payments/{batch['batch_id']}/status.xml")
    document = schema.open_document(report.content)
    assert schema.check(document) == []
    group = document.find("CstmrPmtStsRpt/OrgnlPmtInfAndSts")
    assert group is not None
    assert [row.value("TxSts") for row in group.all("TxInfAndSts")] == ["ACCC", "ACCC", "RJCT", "ACCC"]
    paid = await bank.ask("ops", "GET", f"/bulk-payments/{batch['batch_id']}/notification.xml")
    (told,) = messages.read(paid.content)
    assert [entry.amount_minor for entry in told.entries] == [-1_050, -2_050, -4_050]
    async with bank.transaction() as context:
        assert await agreement.differences(context, bank.gateway) == []


async def test_a_message_comes_once(bank: Office, staff: PaperRail) -> None:
    a, b = await account(bank, 100_000), await account(bank)
    content = file_of(a["number"], [b["number"]])
    first = await send(bank, content, key="k")
    again = await send(bank, content, key="k")
    assert (again.headers["idempotency-replayed"], again.json()) == ("true", first.json())
    twice = await send(bank, content)
    assert (twice.status_code, twice.json()["code"]) == (409, "exists")
    both = await asyncio.gather(*(send(bank, file_of(a["number"], [b["number"]], "M-2")) for _ in range(4)))
    assert sorted(each.status_code for each in both) == [201, 409, 409, 409]
    await decide(bank, first.json(), approve=False)
    assert (await send(bank, content)).status_code == 201, "a rejected one may be sent again"
    await run(bank, first.json()["batch_id"])
    assert await balance(bank, b) == 0


async def test_rows_that_are_wrong_are_named_and_do_not_stop_the_others(bank: Office, staff: PaperRail) -> None:
    a, b, usd = await account(bank, 100_000), await account(bank), await account(bank, currency="USD")
    gone = b["number"][:-1] + str((int(b["number"][-1]) + 1) % 10)
    content = file_of(a["number"], [b["number"], "9901569999999999991", usd["number"], a["number"], gone])
    batch = (await send(bank, content)).json()
    now = await seen(bank, batch["batch_id"])
    assert (batch["state"], batch["accepted"]) == ("waiting", 1)
    found = {row["place"]: [reason["code"] for reason in row["reasons"]] for row in now["refused"]}
    assert found == {1: ["AC01"], 2: ["AM03"], 3: ["AC01"], 4: ["AC01"]}
    refused = (await send(bank, file_of("1234567890", [b["number"]], "M-9"))).json()
    assert (refused["state"], refused["reasons"][0]["code"]) == ("refused", "NARR")
    broken = (await send(bank, content.replace(b"<NbOfTxs>5", b"<NbOfTxs>6"))).json()
    assert (broken["state"], broken["items"], broken["reasons"][0]["code"]) == ("refused", 0, "AM18")
    nothing = await send(bank, b"not xml")
    assert (nothing.status_code, nothing.json()["state"]) == (201, "refused")
    assert (await send(bank, b" ")).json()["errors"][0]["field"] == "file"


async def test_without_enough_money_independent_items_fail_alone(bank: Office, staff: PaperRail) -> None:
    a, b = await account(bank, 3_100), await account(bank)
    batch = (await send(bank, file_of(a["number"], [b["number"]] * 3))).json()
    await decide(bank, batch)
    await run(bank, batch["batch_id"])
    now = await seen(bank, batch["batch_id"])
    assert (now["state"], now["counts"], await balance(bank, b)) == ("done", {"paid": 2, "failed": 1}, 3_100)
    rows = (await bank.ask("ops", "GET", f"/bulk-payments/{batch['batch_id']}/items?state=failed")).json()["items"]
    assert [row["reason"] for row in rows] == ["exceeds_credits"]
    async with bank.transaction() as context:
        query = select(payment_use.c.amount_minor, payment_use.c.count).where(payment_use.c.channel == "file")
        assert (await context.connection.execute(query)).one() == (3_100, 1)


@pytest.mark.parametrize(("money", "counts"), [(6_149, {"failed": 3}), (6_150, {"paid": 3})])
async def test_linked_items_are_paid_all_or_none(
    bank: Office, staff: PaperRail, money: int, counts: dict[str, int]
) -> None:
    a, b = await account(bank, money), await account(bank)
    batch = (await send(bank, file_of(a["number"], [b["number"]] * 3), "?linked=true")).json()
    await decide(bank, batch)
    await run(bank, batch["batch_id"])
    now = await seen(bank, batch["batch_id"])
    assert (now["state"], now["counts"]) == ("done", counts)
    assert (await balance(bank, a), await balance(bank, b)) == ((money, 0) if "failed" in counts else (0, 6_150))
    async with bank.transaction() as context:
        assert await agreement.differences(context, bank.gateway) == []


async def test_linked_items_leave_the_house_only_when_all_are_held(bank: Office, staff: PaperRail) -> None:
    a, b = await account(bank, 3_000), await account(bank)
    short = (await send(bank, file_of(a["number"], [OUTSIDE, b["number"]]), "?linked=true")).json()
    await decide(bank, short)
    await run(bank, short["batch_id"])
    assert (await seen(bank, short["batch_id"]))["counts"] == {"failed": 2}
    assert [what for what, *_ in staff.asked] in ([], ["decline"])
    staff.asked.clear()
    good = (await send(bank, file_of(a["number"], [OUTSIDE], "M-2"), "?linked=true")).json()
    await decide(bank, good)
    await run(bank, good["batch_id"])
    assert [what for what, *_ in staff.asked] == ["authorise"]


async def test_limits_count_the_file_as_a_whole(bank: Office, staff: PaperRail) -> None:
    async with bank.transaction() as context:
        row = {"name": "payment.limit_day", "scope": "file", "value": 3_000, "valid_from": AT.date(), "source": "test"}
        await context.connection.execute(insert(parameters).values(**row))
    a, b = await account(bank, 100_000), await account(bank)
    batch = (await send(bank, file_of(a["number"], [b["number"]] * 2))).json()
    answer = await decide(bank, batch)
    assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (409, "state", "limit")
    small = (await send(bank, file_of(a["number"], [b["number"]], "M-2"))).json()
    assert (await decide(bank, small)).status_code == 200


async def test_cut_off_in_the_middle_nothing_is_paid_twice(bank: Office, staff: PaperRail) -> None:
    a, b = await account(bank, 10_000_000), await account(bank)
    batch = (await send(bank, file_of(a["number"], [b["number"]] * 60))).json()
    await decide(bank, batch)

    async def cut_off() -> None:
        async with bank.transaction() as context:
            await bulk_run.portion(context, batch["batch_id"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cut_off()
    await asyncio.gather(run(bank, batch["batch_id"]), run(bank, batch["batch_id"]))
    await run(bank, batch["batch_id"])
    assert await balance(bank, b) == sum(1_000 * n + 50 for n in range(1, 61))
    async with bank.transaction() as context:
        made = (await context.connection.execute(select(payments.c.cause).where(payments.c.kind == "bulk_item"))).all()
    assert len(made) == 60


async def test_the_command_reads_and_sends(
    bank: Office, staff: PaperRail, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "salaries.xml"
    path.write_bytes(file_of("1", ["2", "3"]))
    assert main(["payments", "bulk", str(path), "--check"]) == 0
    assert "2 of 2 good" in capsys.readouterr().out
    path.write_bytes(path.read_bytes().replace(b"20.50", b"0.00").replace(b"<CtrlSum>31.00", b"<CtrlSum>10.50"))
    assert main(["payments", "bulk", str(path), "--check", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["refused"][0]["reasons"][0]["code"] == "AM01"
    assert main(["payments", "bulk", str(tmp_path / "none.xml"), "--check"]) == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    away = ["payments", "bulk", str(path), "--user", "ops", "--password-stdin", "--url", "http://127.0.0.1:9"]
    assert main(away) == 1
