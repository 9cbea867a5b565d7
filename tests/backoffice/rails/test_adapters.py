"""Rails against simulated ones that are processes: paid, collected, refused, late, unknown, early, twice."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from backoffice.background import PIECES
from backoffice.cases.tables import cases
from backoffice.payments import service, undo
from backoffice.payments.iso20022.values import Bank, Party
from backoffice.payments.rails_api import RAILS
from backoffice.payments.service import Order
from backoffice.rails import codes, sending
from backoffice.rails.adapters import ADAPTERS
from backoffice.rails.signing import Call, Keys, sign
from backoffice.rails.tables import rails
from backoffice.rails.wire import CallbackIn, EventKind, EventOut
from tests.backoffice.conftest import Office
from tests.backoffice.payments.institution import account, balance, pay
from tests.backoffice.rails.house import ENDS, activate, all_payments, orders, row_of, serving, told, turn, until

PAYEE = Party("华中贸易有限公司", account="6222020000000000", bank=Bank(member="102491000006"))


@pytest.fixture
async def house(bank: Office, tmp_path: Path) -> AsyncIterator[tuple[Office, str]]:
    bank.time = datetime.now(UTC)
    async with serving(bank, tmp_path) as address:
        yield bank, address


async def start(rail_here: Any, house: tuple[Office, str], kind: str, **flags: Any) -> Any:
    office, address = house
    process = await rail_here(kind, callback=f"{address}/{kind}/callbacks", **flags)
    await activate(office, kind, process.url)
    return process


def out(row: Any, rail: str, minor: int, **more: Any) -> Order:
    if rail == "interbank":
        more["outside"] = PAYEE
    detail = {"instrument": {ADAPTERS[rail].needs[0]: "X1"}}
    kind = ADAPTERS[rail].order_kind
    return Order(kind, "online", minor, from_account=row["account_id"], rail=rail, mode="held", detail=detail, **more)


async def ended(office: Office, number: str) -> bool:
    return (await row_of(office, number))["state"] in ENDS


async def count_of_cases(office: Office) -> int:
    async with office.transaction() as context:
        return int(await context.connection.scalar(select(func.count()).select_from(cases)) or 0)


async def test_the_rows_are_what_the_adapters_say(office: Office) -> None:
    async with office.transaction() as context:
        found = (await context.connection.execute(select(rails))).mappings().all()
    assert {row["name"]: row["settlement_part"] for row in found} == {
        rail.name: rail.part for rail in ADAPTERS.values()
    }
    assert all(RAILS[row["name"]].clearing == (3001, row["settlement_part"]) for row in found)
    assert {f"rail_outbox_{name}" for name in ADAPTERS} < PIECES.keys()


async def test_transfers_to_another_bank(house: tuple[Office, str], rail_here: Any) -> None:
    """Settled, refused, decided later, returned by the other bank."""
    office, _ = house
    process = await start(rail_here, house, "interbank")
    wanted = {1_000: "captured", 1_051: "voided", 1_068: "captured", 1_004: "reversed"}
    numbers, payers = {}, {}
    for minor in wanted:
        payers[minor] = await account(office, 10_000)
        row = await pay(office, out(payers[minor], "interbank", minor))
        assert (row["state"], await balance(office, payers[minor])) == ("authorised", 10_000)
        numbers[minor] = row["number"]

    async def done() -> bool:
        answered = all(order["state"] in {"done", "declined"} for order in await orders(office, "interbank"))
        states = {minor: (await row_of(office, number))["state"] for minor, number in numbers.items()}
        return answered and states == wanted

    await until(office, "interbank", done)
    kept = str(await orders(office, "interbank"))
    assert PAYEE.name not in kept
    assert PAYEE.account not in kept
    assert PAYEE.account in (process.directory / "interbank.jsonl").read_text(), "the rail was told"
    left = {minor: await balance(office, payer) for minor, payer in payers.items()}
    assert left == {1_000: 9_000, 1_051: 10_000, 1_068: 8_932, 1_004: 10_000}
    assert await count_of_cases(office) == 0


async def test_a_card_payment_in_two_messages_and_back(house: tuple[Office, str], rail_here: Any) -> None:
    office, _ = house
    process = await start(rail_here, house, "card", duplicates=1.0)
    payer = await account(office, 10_000)
    row = await pay(office, out(payer, "card", 1_000))
    number = row["number"]

    async def held() -> bool:
        return any(each["state"] == "done" for each in await orders(office, "card"))

    await until(office, "card", held)
    async with office.transaction() as context:
        await undo.capture(context, number, 700)

    async def captured() -> bool:
        return bool((await row_of(office, number))["state"] == "captured")

    await until(office, "card", captured)
    assert await balance(office, payer) == 9_300
    for minor, state in ((200, "partly_refunded"), (500, "refunded")):
        async with office.transaction() as context:
            reference = f"{number}-refund-{minor}"
            row = await service.get(context, number, lock_=True)
            await ADAPTERS["card"].refund(context, row, minor, reference)

        async def refunded(state: str = state) -> bool:
            return bool((await row_of(office, number))["state"] == state)

        await until(office, "card", refunded)
    assert await balance(office, payer) == 10_000
    assert process.book()[number] == {"state": "refunded", "captured_minor": 700, "refunded_minor": 700}
    assert len(await told(office, "card")) == 4


async def test_collecting_from_outside(house: tuple[Office, str], rail_here: Any) -> None:
    office, _ = house
    await start(rail_here, house, "wallet")
    payee = await account(office)
    detail = {"instrument": {"wallet": "w-1"}}
    order = Order("wallet", "api", 500, to_account=payee["account_id"], rail="wallet", mode="asked", detail=detail)
    row = await pay(office, order)
    assert row["state"] == "created"

    async def done() -> bool:
        return await ended(office, row["number"])

    await until(office, "wallet", done)
    assert ((await row_of(office, row["number"]))["state"], await balance(office, payee)) == ("captured", 500)


async def test_codes_are_good_once_and_not_for_long(house: tuple[Office, str], rail_here: Any) -> None:
    """A payee's code brings money in; a payer's is collected with; neither works again, late, or for another sum."""
    office, _ = house
    process = await start(rail_here, house, "qr", delay=0.01)
    shop, person = await account(office), await account(office, 10_000)

    async def code(mode: Any, row: Any, **more: Any) -> str:
        async with office.transaction() as context:
            return str((await codes.issue(context, mode, row["number"], more.get("amount")))["code"])

    async def outside(name: str, kind: str, code: str, minor: int = 700) -> None:
        body = {"kind": kind, "name": name, "amount_minor": minor, "instrument": {"code": code}}
        response = await asyncio.to_thread(process.ask, "POST", "/outside", json.dumps(body).encode())
        assert response.status_code == 200

    async def events(number: int) -> None:
        async def known() -> bool:
            rows = await told(office, "qr")
            return len(rows) >= number and all(row["state"] != "new" for row in rows)

        await until(office, "qr", known)

    shown = await code("merchant_presented", shop)
    await outside("O1", "credit", shown)
    await outside("O2", "credit", shown)
    await events(2)
    assert await balance(office, shop) == 700
    assert await count_of_cases(office) == 1, "money for nobody: somebody must send it back"

    mine = await code("customer_presented", person)
    await outside("O3", "debit", mine)
    await events(4)  # and its capture
    await outside("O4", "debit", mine)
    await events(5)
    assert await balance(office, person) == 9_300

    async def agreed() -> bool:
        states = {name: each["state"] for name, each in process.book().items()}
        return bool(states == {"O1": "captured", "O2": "captured", "O3": "captured", "O4": "declined"})

    await until(office, "qr", agreed)

    late = await code("customer_presented", person)
    office.pass_by(minutes=2)
    async with office.transaction() as context:
        from backoffice.money import Money

        assert await codes.use(context, late, "customer_presented", Money(700), "O5") == (None, "code_expired")
        assert await codes.use(context, late, "merchant_presented", Money(700), "O5") == (None, "code_unknown")
    office.pass_by(minutes=-2)
    async with office.transaction() as context:
        assert await codes.use(context, late, "customer_presented", Money(10**9), "O5") == (None, "code_amount")
        assert (await codes.use(context, late, "customer_presented", Money(700), "O5"))[1] == ""
        assert (await codes.use(context, late, "customer_presented", Money(700), "O5"))[1] == ""
        assert await codes.use(context, late, "customer_presented", Money(700), "O6") == (None, "code_used")


async def test_a_payer_without_money_is_declined_to_the_rail(house: tuple[Office, str], rail_here: Any) -> None:
    office, _ = house
    process = await start(rail_here, house, "card", delay=0.01)
    poor = await account(office, 100)
    body = {"kind": "debit", "name": "O1", "amount_minor": 700, "instrument": {"account": poor["number"]}}
    await asyncio.to_thread(process.ask, "POST", "/outside", json.dumps(body).encode())

    async def known() -> bool:
        return bool(process.book()["O1"]["state"] == "declined")

    await until(office, "card", known)
    assert await balance(office, poor) == 100
    assert [row["state"] for row in await all_payments(office, "card")] == ["declined"]


async def test_failures_and_lost_callbacks_change_nothing(house: tuple[Office, str], rail_here: Any) -> None:
    """Every request may fail in any way and no callback comes: each payment is made once all the same."""
    office, _ = house
    process = await start(rail_here, house, "wallet", failures=0.5, lost=1.0, hang=0.1, seed=3)
    payer = await account(office, 100_000)
    numbers = [(await pay(office, out(payer, "wallet", 1_000 + 10 * n)))["number"] for n in range(8)]

    async def done() -> bool:
        return all([await ended(office, number) for number in numbers])

    await until(office, "wallet", done)
    assert await balance(office, payer) == 100_000 - sum(1_000 + 10 * n for n in range(8))
    assert len(process.book()) == 8
    assert max(row["attempts"] for row in await orders(office, "wallet")) > 1


async def test_no_answer_is_no_answer(house: tuple[Office, str], rail_here: Any) -> None:
    """A rail that is away: the money stays held, a person is told, and nothing is guessed; later it is asked again."""
    office, _ = house
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        await activate(office, "wallet", f"http://127.0.0.1:{nobody.getsockname()[1]}", give_up_minutes=1)
        payer = await account(office, 10_000)
        row = await pay(office, out(payer, "wallet", 1_000))
        await turn(office, "wallet")
        office.pass_by(minutes=2)
        await sending.send_due(office.app.state.office, "wallet")
    (order,) = await orders(office, "wallet")
    assert (order["state"], order["attempts"]) == ("given_up", 2)
    assert (await row_of(office, row["number"]))["state"] == "authorised"
    assert await count_of_cases(office) == 1
    await start(rail_here, house, "wallet")
    office.time = datetime.now(UTC)
    async with office.transaction() as context:
        await sending.ask_again(context, "wallet", order["reference"])

    async def done() -> bool:
        return await ended(office, row["number"])

    await until(office, "wallet", done)
    assert await balance(office, payer) == 9_000


async def test_a_rail_that_is_not_in_use_or_too_small_declines(house: tuple[Office, str]) -> None:
    office, _ = house
    payer = await account(office, 10_000_000)
    row = await pay(office, out(payer, "wallet", 1_000))
    await turn(office, "wallet")
    await activate(office, "wallet", "http://127.0.0.1:9", amount_minor_max=5_000)
    large = await pay(office, out(payer, "wallet", 5_001))
    await turn(office, "wallet")
    rows = [await row_of(office, each["number"]) for each in (row, large)]
    for each in rows:
        await office.gateway.settle(service.groups_of(each), 20)
    rows = [await row_of(office, each["number"]) for each in rows]
    assert [(each["state"], each["reason"]) for each in rows] == [
        ("voided", "rail_not_active"),
        ("voided", "rail_limit"),
    ]
    assert not await orders(office, "wallet")


async def test_a_paused_rail_waits(house: tuple[Office, str], rail_here: Any) -> None:
    office, _ = house
    process = await start(rail_here, house, "wallet")
    await activate(office, "wallet", process.url, paused=True)
    payer = await account(office, 10_000)
    row = await pay(office, out(payer, "wallet", 1_000))
    await turn(office, "wallet")
    assert process.book() == {}
    await activate(office, "wallet", process.url, paused=False)

    async def done() -> bool:
        return await ended(office, row["number"])

    await until(office, "wallet", done)


# --- callbacks ------------------------------------------------------------------------------------


class Teller:
    """Signs callbacks as a rail would."""

    def __init__(self, office: Office, keys: Path) -> None:
        self.office = office
        self.keys = Keys.read(keys)

    async def tell(self, rail: str, event: EventOut | bytes, **changes: str) -> httpx.Response:
        body = event if isinstance(event, bytes) else CallbackIn(event=event).model_dump_json().encode()
        path = f"/api/v1/rails/{rail}/callbacks"
        headers = sign(self.keys, Call("POST", path, body), datetime.now(UTC)) | changes
        return await self.office.client.post(path, content=body, headers=headers)


@pytest.fixture
async def teller(house: tuple[Office, str], tmp_path: Path) -> Teller:
    from backoffice.rails.signing import new_key_line

    (tmp_path / "card.keys").write_text(new_key_line("k"))
    await activate(house[0], "card", "http://127.0.0.1:9")
    return Teller(house[0], tmp_path / "card.keys")


def event(number: str, id_: str, kind: str, minor: int = 0, **more: Any) -> EventOut:
    return EventOut(
        id=id_, kind=EventKind(kind), payment=number, rail_reference=f"R-{id_}", amount_minor=minor,
        at=datetime.now(UTC), **more,
    )  # fmt: skip


async def test_events_in_any_order_and_any_number_of_times(teller: Teller) -> None:
    office = teller.office
    payer = await account(office, 10_000)
    number = (await pay(office, out(payer, "card", 1_000)))["number"]
    history = [
        event(number, "e3", "refund", 300),
        event(number, "e1", "authorise", 1_000),
        event(number, "e3", "refund", 300),
        event(number, "e2", "capture", 800),
        event(number, "e2", "capture", 800),
    ]
    history = [each.model_copy(update={"at": office.time}) for each in history]
    for each in history:
        assert (await teller.tell("card", each)).status_code == 200

    async def done() -> bool:
        return bool((await row_of(office, number))["state"] == "partly_refunded")

    await until(office, "card", done)
    assert await balance(office, payer) == 9_500
    assert [row["state"] for row in await told(office, "card")] == ["early", "noted", "applied"]
    assert await count_of_cases(office) == 0


async def test_what_cannot_be_is_work_for_a_person(teller: Teller) -> None:
    """No such payment, more than was held, captured after a void, one id with two contents, an order refused."""
    office = teller.office
    payer = await account(office, 10_000)
    histories: list[list[tuple[str, str, str, int]]] = [
        [("nobody", "a1", "capture", 1)],
        [("", "b1", "capture", 5_000)],
        [("", "c1", "void", 0), ("", "c2", "capture", 1_000)],
        [("", "d1", "capture", 900), ("", "d1", "capture", 901)],
        [("", "e1", "refuse", 0)],
    ]
    for known, history in enumerate(histories):
        number = (await pay(office, out(payer, "card", 1_000)))["number"]
        for name, id_, kind, minor in history:
            assert (await teller.tell("card", event(name or number, id_, kind, minor))).status_code == 200
        assert await count_of_cases(office) == known + 1, history


async def test_money_under_a_name_that_is_known(teller: Teller) -> None:
    """The same payment again under a new event is nothing new; another sum or direction is work for a person."""
    office = teller.office
    payee = await account(office)
    there = {"account": payee["number"]}
    for id_, kind, minor in (("e1", "credit", 700), ("e2", "credit", 700), ("e3", "credit", 701), ("e4", "debit", 700)):
        assert (await teller.tell("card", event("O1", id_, kind, minor, instrument=there))).status_code == 200
    assert [row["state"] for row in await told(office, "card")] == ["applied", "repeated", "conflict", "conflict"]
    assert (await balance(office, payee), await count_of_cases(office)) == (700, 2)


async def test_a_callback_in_another_currency(teller: Teller) -> None:
    office = teller.office
    payer = await account(office, 10_000)
    number = (await pay(office, out(payer, "card", 1_000)))["number"]
    await teller.tell("card", event(number, "e1", "capture", 1_000, currency="USD"))
    assert ((await row_of(office, number))["state"], await count_of_cases(office)) == ("authorised", 1)


async def test_who_is_not_the_rail_is_told_nothing(teller: Teller) -> None:
    office = teller.office
    good = CallbackIn(event=event("P1", "e1", "capture", 1)).model_dump_json().encode()
    path = "/api/v1/rails/card/callbacks"
    headers = sign(teller.keys, Call("POST", path, good), datetime.now(UTC))
    first = await office.client.post(path, content=good, headers=headers)
    refused = [
        await office.client.post(path, content=good, headers=headers),  # a replay
        await office.client.post(path, content=good.replace(b"P1", b"P2"), headers=headers),
        await office.client.post(path, content=good),
        await teller.tell("card", good, **{"rail-signature": "0" * 64}),
        await teller.tell("wallet", good),  # has no keys
        await teller.tell("nothing", good),
    ]
    office.pass_by(minutes=6)
    refused.append(await teller.tell("card", good))
    office.pass_by(minutes=-6)
    assert first.status_code == 200
    assert {(each.status_code, each.json()["code"]) for each in refused} == {(401, "signature")}
    assert len({each.text.replace("wallet", "card").replace("nothing", "card") for each in refused}) == 1
    odd = [
        await teller.tell("card", b"{"),
        await teller.tell("card", b"{}"),
        await teller.tell("card", b'{"event": {"id": "\xff"}}'),
        await teller.tell("card", good.replace(b'"kind":"capture"', b'"kind":"gift"')),
        await teller.tell("card", good.replace(b'"amount_minor":1', b'"amount_minor":1.5')),
        await teller.tell("card", good.replace(b'"amount_minor":1', b'"amount_minor":9223372036854775808')),
    ]
    assert {each.status_code for each in odd} == {422}
    assert (await teller.tell("card", b"x" * 20_000)).status_code == 400
    assert len(await told(office, "card")) == 1


async def test_many_tell_the_same_at_once(teller: Teller) -> None:
    office = teller.office
    payer = await account(office, 10_000)
    number = (await pay(office, out(payer, "card", 1_000)))["number"]
    one = event(number, "e1", "capture", 1_000)
    answers = await asyncio.gather(*(teller.tell("card", one) for _ in range(8)))
    assert {each.status_code for each in answers} == {200}

    async def done() -> bool:
        return await ended(office, number)

    await until(office, "card", done)
    assert await balance(office, payer) == 9_000
    assert len(await told(office, "card")) == 1
