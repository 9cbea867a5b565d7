"""Rules of the market and of the house as data: each value with the days on which it holds, and its source.

`rules.toml` holds what a new office begins with; `seed` writes it, and never over a value that is there. After that
the table decides. A rule that changes gets a new row, and the old one its last day.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files
from typing import Any

from sqlalchemy import and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from backoffice import audit
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.problems import Code, Problem, invalid
from backoffice.tables import parameters


@dataclass(frozen=True, slots=True)
class Rule:
    """One value of a parameter; `scope` says for what (a product, a channel), "" for all."""

    name: str
    value: Any
    valid_from: date
    valid_to: date | None
    source: str
    scope: str = ""


def rules() -> Iterator[Rule]:
    """What a new office begins with."""
    found = tomllib.loads(files("backoffice.parameters").joinpath("rules.toml").read_text("utf-8"))
    for name, values in found.items():
        for each in values:
            yield Rule(
                name, each["value"], each["valid_from"], each.get("valid_to"), each["source"], each.get("scope", "")
            )


def on(day: date) -> Any:
    """Give the condition that a row holds on a day."""
    return and_(parameters.c.valid_from <= day, or_(parameters.c.valid_to.is_(None), parameters.c.valid_to >= day))


async def seed(context: Context) -> int:
    """Write the rules of parameters that are not there at all; return how many were written."""
    known = {row["name"] for row in rows_of(await context.connection.execute(select(parameters.c.name).distinct()))}
    new = [rule for rule in rules() if rule.name not in known]
    for rule in new:
        await context.connection.execute(insert(parameters).values(**_values(rule)))
    if new:
        await audit.record(context, "parameters.seed", "parameters", {"written": len(new)})
    return len(new)


async def value(context: Context, name: str, day: date, scope: str = "") -> Any:
    """Give the value on a day: of the scope if it has one of its own, else of all. Problem when there is none."""
    query = select(parameters.c.scope, parameters.c.value).where(
        parameters.c.name == name, parameters.c.scope.in_({"", scope}), on(day)
    )
    found = {row["scope"]: row["value"] for row in rows_of(await context.connection.execute(query))}
    if not found:
        raise Problem(Code.NOT_FOUND, f"parameter {name} has no value on {day}")
    return found.get(scope, found.get(""))


async def history(context: Context, name: str = "") -> list[dict[str, Any]]:
    """All rows, or those of one parameter, by name, scope and day."""
    query = select(parameters).order_by(parameters.c.name, parameters.c.scope, parameters.c.valid_from)
    if name:
        query = query.where(parameters.c.name == name)
    return rows_of(await context.connection.execute(query))


async def change(context: Context, rule: Rule) -> dict[str, Any]:
    """Let a new value hold from a day on: the value of that day ends the day before. Never for days that are over."""
    today = context.clock().date()
    if rule.valid_from <= today:
        raise invalid("valid_from", f"{rule.valid_from} is not after today, {today}")
    if not rule.source.strip():
        raise invalid("source", "say where the rule comes from")
    known = rows_of(
        await context.connection.execute(
            select(parameters).where(parameters.c.name == rule.name, parameters.c.scope == rule.scope).with_for_update()
        )
    )
    if not known and not await history(context, rule.name):
        raise Problem(Code.NOT_FOUND, f"there is no parameter {rule.name}")
    for row in known:
        if row["valid_from"] < rule.valid_from and (row["valid_to"] is None or row["valid_to"] >= rule.valid_from):
            last = rule.valid_from - timedelta(days=1)
            if row["value"] != rule.value and type(row["value"]) is not type(rule.value):
                raise invalid("value", f"{rule.value!r} is not of the kind of {row['value']!r}")
            at = parameters.c.parameter_id == row["parameter_id"]
            await context.connection.execute(update(parameters).where(at).values(valid_to=last))
    try:
        async with context.connection.begin_nested():
            made = await context.connection.execute(insert(parameters).values(**_values(rule)).returning(parameters))
    except IntegrityError:
        raise Problem(Code.EXISTS, f"parameter {rule.name} has another value from {rule.valid_from} on") from None
    row = rows_of(made)[0]
    detail = {"value": rule.value, "valid_from": str(rule.valid_from), "source": rule.source}
    await audit.record(context, "parameters.change", f"parameter:{rule.name}", detail)
    return row


def _values(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "scope": rule.scope,
        "value": rule.value,
        "valid_from": rule.valid_from,
        "valid_to": rule.valid_to,
        "source": rule.source,
    }
