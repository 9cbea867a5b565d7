"""A rail's day against the ledger: files taken once, matches kept, and a work list that goes on from day to day.

A run looks at everything up to its day that has not found its other side. So what stands on one day here and on the
next at the rail is a difference for a day and is gone after the next run; what nobody has decided stays on the list;
and a second run of the same day changes nothing.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, select, update
from sqlalchemy import insert as insert_rows
from sqlalchemy.dialects.postgresql import insert

from backoffice import audit
from backoffice.background import Services, system
from backoffice.cases.service import open_case
from backoffice.cases.tables import case_notes, cases
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.ledger.chart import own_account
from backoffice.money import LEDGERS
from backoffice.payments import railfile
from backoffice.payments.railfile import RailFile, RailItem
from backoffice.payments.reconcile import Difference, Kind, Match, Terms, reconcile
from backoffice.problems import Code, FieldError, Problem, invalid
from backoffice.rails import books, service
from backoffice.rails.adapters import ADAPTERS, SETTLEMENT_LINE
from backoffice.rails.sending import RailAwayError, RailClient, http_client
from backoffice.rails.tables import rail_differences, rail_files, rail_items, rail_matches

Row = dict[str, Any]
BACK: Final = timedelta(days=10)
"""How long something without its other side is compared again; after that it stands on the list as it is."""
SUSPENSE: Final = 1901
STATE: Final = "state"
"""Kind of a difference: a payment's row and the engine's transfers say different sums."""
FINDINGS_TOLD: Final = 20
ITEM: Final = ("rail_reference", "our_reference", "kind", "amount_minor", "currency", "day", "fee_minor", "batch")


@dataclass(frozen=True, slots=True)
class Report:
    """What a run has done. `differences` counts what is open on the list now."""

    rail: str
    day: date
    rows: int
    new_file: bool
    matched: int
    found: int
    gone: int
    differences: int


async def fetch(services: Services, name: str, day: date) -> bytes:
    """Get a day's file from a rail; Problem when it does not give one."""
    async with system(services) as context:
        row = await service.get(context, name)
    if not row["url"]:
        raise Problem(Code.STATE, f"rail {name} has no address")
    async with http_client() as http:
        try:
            status, content = await RailClient(services, row, http).file(day)
        except RailAwayError as error:
            raise Problem(Code.STATE, f"rail {name} gives no file: {error}") from None
    if status != 200:
        raise Problem(Code.STATE, f"rail {name} gives no file of {day}: status {status}")
    return content


async def run(services: Services, context: Context, name: str, day: date, content: bytes) -> Report:
    """Take a file, if it is new, and compare; Problem for one that is not sound or not this rail's day.

    `context` is the transaction in which all of it counts or nothing.
    """
    row = await service.get(context, name, lock=True)  # runs of a rail go one after another
    # A large file is work for seconds: not in the loop that serves requests.
    file = await asyncio.to_thread(railfile.read, railfile.Format(row["file_format"]), content)
    _check(file, name, day)
    new = await _take(context, name, day, file)
    terms = Terms()
    until = day + timedelta(days=terms.days_apart)
    matched = select(rail_matches.c.transfer_id).where(rail_matches.c.rail == name, rail_matches.c.day >= day - BACK)
    done = frozenset(each["transfer_id"] for each in rows_of(await context.connection.execute(matched)))
    ours = await books.read(context, services.gateway, ADAPTERS[name], day - BACK, day, until, done)
    open_ = await _open_items(context, name, day)
    result = await asyncio.to_thread(reconcile, [item for _, item in open_], ours.items, terms)
    await _keep_matches(context, name, open_, result.matches)
    # What was posted after the day is looked at for the sake of the file alone.
    found = [each for each in result.differences if each.rail or min(other.day for other in each.ledger) <= day]
    opened = {await _open(context, name, day, each) for each in found}
    opened |= {await _open_wrong(context, name, day, each) for each in ours.wrong}
    gone = await _gone(context, name, day, {key for key, _ in opened})
    left = select(rail_differences.c.difference_id).where(
        rail_differences.c.rail == name, rail_differences.c.state.in_(["open", "asked", "correcting"])
    )
    report = Report(
        name, day, len(file.items), new, len(result.matches), sum(fresh for _, fresh in opened), gone,
        len(rows_of(await context.connection.execute(left))),
    )  # fmt: skip
    detail = {each: value for each, value in asdict(report).items() if each not in {"rail", "day"}}
    await audit.record(context, "rails.reconcile", f"rail:{name}", detail | {"day": str(day)})
    return report


def _check(file: RailFile, name: str, day: date) -> None:
    if not file.sound:
        errors = [FieldError(f"file.{each.line}.{each.field}", each.words) for each in file.findings[:FINDINGS_TOLD]]
        words = f"file: {len(file.findings)} findings, the first in line {file.findings[0].line}: {errors[0].message}"
        raise Problem(Code.INVALID, words, errors=errors)
    if (file.rail, file.day) != (name, day):
        raise invalid("file", f"is of {file.rail} for {file.day}, not of {name} for {day}")


async def _take(context: Context, name: str, day: date, file: RailFile) -> bool:
    """Keep a file's items; False: it was taken before. Problem when the day has another file."""
    nets: dict[str, list[int]] = {}
    for item in file.items:
        net = nets.setdefault(item.currency, [0, 0])
        net[0] += item.amount_minor
        net[1] += item.fee_minor
    values = {
        "rail": name, "day": day, "digest": file.digest, "rows": len(file.items), "nets": nets,
        "taken_at": context.clock(),
    }  # fmt: skip
    made = insert(rail_files).values(**values).on_conflict_do_nothing()
    if not (await context.connection.execute(made)).rowcount:
        query = select(rail_files.c.digest).where(rail_files.c.rail == name, rail_files.c.day == day)
        if await context.connection.scalar(query) != file.digest:
            raise Problem(Code.EXISTS, f"another file of {name} for {day} was taken before")
        return False
    if file.items:
        shared = {"rail": name, "file_day": day, "matched": ""}
        rows = [
            shared | {"place": place} | {each: getattr(item, each) for each in ITEM}
            for place, item in enumerate(file.items)
        ]
        await context.connection.execute(insert_rows(rail_items), rows)
    return True


async def _open_items(context: Context, name: str, day: date) -> list[tuple[Row, RailItem]]:
    query = select(rail_items).where(
        rail_items.c.rail == name, rail_items.c.matched == "", rail_items.c.file_day.between(day - BACK, day)
    )  # fmt: skip
    rows = rows_of(await context.connection.execute(query.order_by(rail_items.c.file_day, rail_items.c.place)))
    return [(row, RailItem(**{each: row[each] for each in ITEM})) for row in rows]


async def _keep_matches(
    context: Context, name: str, open_: Sequence[tuple[Row, RailItem]], matches: Sequence[Match]
) -> None:
    """Mark both sides; an item of two files with one reference is marked in the earlier one."""
    places: dict[RailItem, list[Row]] = defaultdict(list)
    for row, item in reversed(open_):
        places[item].append(row)
    marks, ledger = [], []
    for match in matches:
        for item in match.rail:
            row = places[item].pop()
            marks.append({"at_day": row["file_day"], "at_place": row["place"], "rule": match.rule.value})
        ledger += [
            {"transfer_id": other.id, "rail": name, "day": other.day, "rule": match.rule.value,
             "rail_reference": match.rail[0].rail_reference}
            for other in match.ledger
        ]  # fmt: skip
    if marks:
        at = (rail_items.c.rail == name) & (rail_items.c.file_day == bindparam("at_day"))
        mark = update(rail_items).where(at & (rail_items.c.place == bindparam("at_place")))
        await context.connection.execute(mark.values(matched=bindparam("rule")), marks)
    if ledger:
        await context.connection.execute(insert_rows(rail_matches), ledger)


def proposal(rail: str, difference: Difference, day: date) -> Row:
    """Say what would set a difference right; persons decide. Sums go against suspense (1901) until more is known."""
    amount, kind = difference.amount_minor, difference.kind
    more: Row = {"parts": list(difference.proposal)} if difference.proposal else {}
    if kind is Kind.NOT_AT_RAIL and all(other.day >= day for other in difference.ledger):
        return more | {"action": "wait", "words": "may stand in the next day's file"}
    if kind in {Kind.DAY, Kind.TWICE_AT_RAIL, Kind.CURRENCY} or amount == 0:
        return more | {"action": "accept", "words": "nothing to post; ask the rail"}
    return more | {"action": "correct"} | correction(rail, amount, difference.currency)


def correction(rail: str, amount_minor: int, currency: str) -> Row:
    """Give debit, credit and amount that bring the settlement account to what the rail says."""
    ledger = LEDGERS[currency]
    settlement = own_account(SETTLEMENT_LINE, ledger, ADAPTERS[rail].part)
    suspense = own_account(SUSPENSE, ledger)
    debit, credit = (settlement, suspense) if amount_minor > 0 else (suspense, settlement)
    return {"debit": debit, "credit": credit, "amount_minor": abs(amount_minor), "currency": currency}


async def _open(context: Context, name: str, day: date, difference: Difference) -> tuple[str, bool]:
    """Put a difference on the list, if it is not there; its key, and whether it is new."""
    items = {
        "rail": [asdict(item) | {"day": str(item.day)} for item in difference.rail],
        "ledger": [asdict(item) | {"day": str(item.day)} for item in difference.ledger],
    }
    names = [item.our_reference or item.rail_reference for item in difference.rail]
    names += [item.our_reference or item.id for item in difference.ledger]
    return await _list(
        context, name, day, difference.key, kind=difference.kind.value, amount_minor=difference.amount_minor,
        currency=difference.currency, items=items, proposal=proposal(name, difference, day), about=names[0],
    )  # fmt: skip


async def _open_wrong(context: Context, name: str, day: date, wrong: books.Wrong) -> tuple[str, bool]:
    key = hashlib.sha256(f"{STATE}\0{wrong.number}\0{wrong.row_minor}\0{wrong.engine_minor}".encode()).hexdigest()[:32]
    return await _list(
        context, name, day, key, kind=STATE, amount_minor=wrong.row_minor - wrong.engine_minor,
        currency=wrong.currency, items={"payment": asdict(wrong)}, about=wrong.number,
        proposal={"action": "accept", "words": "the engine's sum is the true one; the payment's row must be looked at"},
    )  # fmt: skip


async def _list(context: Context, name: str, day: date, key: str, *, about: str, **values: Any) -> tuple[str, bool]:
    now = context.clock()
    made = insert(rail_differences).values(rail=name, key=key, day=day, found_at=now, **values)
    made = made.on_conflict_do_update(
        index_elements=["rail", "key"], set_={"state": "open", "closed_at": None, "found_at": now},
        where=rail_differences.c.state == "gone",
    )  # fmt: skip
    number = await context.connection.scalar(made.returning(rail_differences.c.difference_id))
    if number is None:
        return key, False
    case = await open_case(
        context, "reconciliation", f"rail:{name}:{key}:{now.isoformat()}", subject=f"rail_difference:{number}",
        summary=f"{name} {day}: {values['kind']} {about}"[:500],
        detail={"difference_id": number, "amount_minor": values["amount_minor"], "currency": values["currency"],
                "proposal": values["proposal"]},
    )  # fmt: skip
    at = rail_differences.c.difference_id == number
    await context.connection.execute(update(rail_differences).where(at).values(case_id=case))
    return key, True


async def _gone(context: Context, name: str, day: date, keys: set[str]) -> int:
    """Close what this run would have found and has not: the other side has come."""
    query = select(rail_differences).where(
        rail_differences.c.rail == name,
        rail_differences.c.state == "open",
        rail_differences.c.day.between(day - BACK, day),
    )
    closed = 0
    for row in rows_of(await context.connection.execute(query.with_for_update())):
        if row["key"] not in keys:
            closed += 1
            await close(context, row, "gone", f"the run of {day} has found the other side")
    return closed


async def close(context: Context, row: Row, state: str, words: str) -> None:
    """Take a difference off the list and close its case."""
    now = context.clock()
    at = rail_differences.c.difference_id == row["difference_id"]
    await context.connection.execute(update(rail_differences).where(at).values(state=state, closed_at=now))
    if row["case_id"] is None:
        return
    case = (cases.c.case_id == row["case_id"]) & (cases.c.state != "closed")
    ended = update(cases).where(case).values(
        state="closed", decision=state, decided_at=now, decided_by=context.actor.user_id, version=cases.c.version + 1
    )  # fmt: skip
    if (await context.connection.execute(ended)).rowcount:
        note = {"case_id": row["case_id"], "user_id": context.actor.user_id, "user_name": context.actor.name}
        await context.connection.execute(insert(case_notes).values(**note, at=now, text=words))
        await audit.record(context, "cases.close", f"case:{row['case_id']}", {"decision": state})
