"""What two persons decide about a rail's money: corrections of differences, and the net of a day."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from backoffice import approvals
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.ledger import Outcome, Posting, own, plan, settled_by
from backoffice.money import LEDGERS, Money
from backoffice.problems import Code, Problem, invalid
from backoffice.rails import reconciliation, service
from backoffice.rails.adapters import ADAPTERS, SETTLEMENT_LINE
from backoffice.rails.tables import rail_differences, rail_files, rail_items, rail_matches, rail_settlements

Row = dict[str, Any]
CORRECTION: Final = 122
SETTLEMENT: Final = 123
"""`code` of transfers in the engine; payments use 101 to 121."""
DUE_FROM_BANKS: Final = 1011
FEES_PAID: Final = 6421
KIND: Final = "rails"


# --- differences ----------------------------------------------------------------------------------


async def difference(context: Context, name: str, difference_id: int, *, lock: bool = False) -> Row:
    """One entry of the work list; Problem when there is none."""
    query = select(rail_differences).where(
        rail_differences.c.rail == name, rail_differences.c.difference_id == difference_id
    )
    found = rows_of(await context.connection.execute(query.with_for_update() if lock else query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no difference {difference_id} of {name}")
    return found[0]


async def differences(context: Context, name: str, state: str, before: int | None, limit: int) -> list[Row]:
    """The work list, newest first; `state` "" means all."""
    query = select(rail_differences).where(rail_differences.c.rail == name)
    if state:
        query = query.where(rail_differences.c.state == state)
    if before is not None:
        query = query.where(rail_differences.c.difference_id < before)
    query = query.order_by(rail_differences.c.difference_id.desc()).limit(limit)
    return rows_of(await context.connection.execute(query))


async def ask_correction(context: Context, name: str, difference_id: int, action: str, reason: str) -> Row:
    """Ask to post a difference against suspense (`correct`), or to leave it as it is (`accept`)."""
    row = await difference(context, name, difference_id, lock=True)
    if row["state"] != "open":
        raise Problem(Code.STATE, f"it is {row['state']}", more={"state": row["state"]})
    if action == "correct" and (not row["amount_minor"] or not row["currency"] or row["kind"] == reconciliation.STATE):
        raise invalid("action", "there is no sum to post")
    summary = f"{action} difference {difference_id} of {name}: {row['kind']}"
    if row["currency"]:
        summary += f" {Money(row['amount_minor'], row['currency'])} {row['currency']}"
    payload = {"rail": name, "difference_id": difference_id, "action": action, "reason": reason}
    asked = await approvals.ask(context, "rail_correction", f"rail_difference:{difference_id}", summary, payload)
    at = rail_differences.c.difference_id == difference_id
    await context.connection.execute(
        update(rail_differences).where(at).values(state="asked", approval_id=asked["approval_id"])
    )
    return asked


async def _correct(context: Context, payload: Mapping[str, Any]) -> Any:
    row = await difference(context, payload["rail"], payload["difference_id"], lock=True)
    if row["state"] != "asked":
        raise Problem(Code.STATE, f"it is {row['state']}", more={"state": row["state"]})
    if payload["action"] == "accept":
        await _decided(context, row, "accepted", payload["reason"])
        return {"difference_id": row["difference_id"], "state": "accepted"}
    ledger = LEDGERS[row["currency"]]
    await own(context, reconciliation.SUSPENSE, ledger)
    await own(context, SETTLEMENT_LINE, ledger, ADAPTERS[row["rail"]].part)
    sides = reconciliation.correction(row["rail"], row["amount_minor"], row["currency"])
    posting = Posting(sides["debit"], sides["credit"], sides["amount_minor"], ledger, CORRECTION)
    group = await plan(context, KIND, f"rail_difference:{row['difference_id']}", [posting])
    at = rail_differences.c.difference_id == row["difference_id"]
    await context.connection.execute(update(rail_differences).where(at).values(state="correcting", group_id=group))
    return {"difference_id": row["difference_id"], "state": "correcting", "group": str(group)}


async def _leave(context: Context, payload: Mapping[str, Any]) -> Any:
    at = (rail_differences.c.difference_id == payload["difference_id"]) & (rail_differences.c.state == "asked")
    await context.connection.execute(update(rail_differences).where(at).values(state="open"))


async def _decided(context: Context, row: Row, state: str, words: str) -> None:
    """Take both sides out of coming runs, and the difference off the list."""
    for item in row["items"].get("rail", ()):
        at = (rail_items.c.rail == row["rail"]) & (rail_items.c.rail_reference == item["rail_reference"])
        await context.connection.execute(update(rail_items).where(at, rail_items.c.matched == "").values(matched=state))
    for item in row["items"].get("ledger", ()):
        values = {"transfer_id": item["id"], "rail": row["rail"], "day": date.fromisoformat(item["day"]), "rule": state}
        await context.connection.execute(insert(rail_matches).values(**values).on_conflict_do_nothing())
    await reconciliation.close(context, row, state, words or state)


# --- the net of a day -----------------------------------------------------------------------------


async def ask_settlement(context: Context, name: str, day: date) -> list[Row]:
    """Ask to settle a day's net with a rail, one request for each currency of its file."""
    await service.get(context, name, lock=True)
    query = select(rail_files).where(rail_files.c.rail == name, rail_files.c.day == day)
    found = rows_of(await context.connection.execute(query))
    if not found:
        raise Problem(Code.STATE, f"no file of {name} for {day} was taken")
    open_ = await context.connection.scalar(
        select(func.count())
        .select_from(rail_differences)
        .where(rail_differences.c.rail == name, rail_differences.c.day == day, rail_differences.c.state == "open")
    )
    asked = []
    for currency, (amount, fee) in sorted(found[0]["nets"].items()):
        if not amount and not fee:
            continue
        payload = {"rail": name, "day": str(day), "currency": currency, "net_minor": amount, "fee_minor": fee}
        summary = f"settle {name} {day}: {Money(amount - fee, currency)} {currency}, {open_} differences open"
        request = await approvals.ask(context, "rail_settlement", f"rail:{name}", summary, payload)
        values = {
            "state": "asked", "approval_id": request["approval_id"], "net_minor": amount, "fee_minor": fee,
            "made_at": context.clock(), "group_id": None, "settled_at": None,
        }  # fmt: skip
        made = insert(rail_settlements).values(rail=name, day=day, currency=currency, **values)
        made = made.on_conflict_do_update(
            index_elements=["rail", "day", "currency"], set_=values,
            where=rail_settlements.c.state.in_(["refused", "rejected"]),
        )  # fmt: skip
        if not (await context.connection.execute(made)).rowcount:
            raise Problem(Code.EXISTS, f"the settlement of {name} for {day} in {currency} has been asked for")
        asked.append(request)
    if not asked:
        raise Problem(Code.STATE, f"there is nothing to settle with {name} for {day}")
    return asked


def _key(payload: Mapping[str, Any]) -> Any:
    return (
        (rail_settlements.c.rail == payload["rail"])
        & (rail_settlements.c.day == date.fromisoformat(payload["day"]))
        & (rail_settlements.c.currency == payload["currency"])
    )


async def _settle(context: Context, payload: Mapping[str, Any]) -> Any:
    query = select(rail_settlements).where(_key(payload)).with_for_update()
    row = rows_of(await context.connection.execute(query))[0]
    if row["state"] != "asked":
        raise Problem(Code.STATE, f"it is {row['state']}", more={"state": row["state"]})
    ledger = LEDGERS[row["currency"]]
    bank, fees = await own(context, DUE_FROM_BANKS, ledger), await own(context, FEES_PAID, ledger)
    rail = await own(context, SETTLEMENT_LINE, ledger, ADAPTERS[row["rail"]].part)
    net, fee = row["net_minor"], row["fee_minor"]
    items = []
    if net:  # above zero the rail pays us
        debit, credit = (bank, rail) if net > 0 else (rail, bank)
        items.append(Posting(debit, credit, abs(net), ledger, SETTLEMENT))
    if fee:
        items.append(Posting(fees, bank, fee, ledger, SETTLEMENT))
    subject = f"rail_settlement:{row['rail']}:{row['day']}:{row['currency']}"
    group = await plan(context, KIND, subject, items)
    await context.connection.execute(
        update(rail_settlements).where(_key(payload)).values(state="planned", group_id=group)
    )
    return {"group": str(group)}


async def _not_settled(context: Context, payload: Mapping[str, Any]) -> Any:
    at = _key(payload) & (rail_settlements.c.state == "asked")
    await context.connection.execute(update(rail_settlements).where(at).values(state="rejected"))


async def settlements(context: Context, name: str, limit: int) -> list[Row]:
    """Settlements with a rail, newest day first."""
    query = select(rail_settlements).where(rail_settlements.c.rail == name)
    return rows_of(await context.connection.execute(query.order_by(rail_settlements.c.day.desc()).limit(limit)))


@settled_by(KIND)
async def settled(context: Context, outcome: Outcome) -> None:
    """The engine has posted, or refused, a correction or a settlement."""
    kind, _, rest = outcome.subject.partition(":")
    if kind == "rail_settlement":
        values = {"state": "posted" if outcome.posted else "refused", "settled_at": context.clock()}
        at = rail_settlements.c.group_id == outcome.group
        await context.connection.execute(update(rail_settlements).where(at).values(**values))
        return
    at = rail_differences.c.difference_id == int(rest)
    row = rows_of(await context.connection.execute(select(rail_differences).where(at).with_for_update()))[0]
    if outcome.posted:
        await _decided(context, row, "corrected", f"posted against {reconciliation.SUSPENSE}")
    else:
        await context.connection.execute(update(rail_differences).where(at).values(state="open"))


approvals.register(approvals.Kind("rail_correction", "payments.approve", _correct, _leave))
approvals.register(approvals.Kind("rail_settlement", "payments.approve", _settle, _not_settled))
