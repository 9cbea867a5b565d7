"""Questionnaires that customers have answered: recorded, rated, and the level that follows for suitability."""

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Column, Date, Integer, SmallInteger, Table, Text, insert, select
from sqlalchemy.dialects.postgresql import JSONB

from backoffice import businessday, notices, parameters
from backoffice.context import Context
from backoffice.customers import service as customers
from backoffice.database import rows_of
from backoffice.problems import Code, Problem, invalid
from backoffice.rating.suitability import (
    Assessment,
    Question,
    Questionnaire,
    Rules,
    Verdict,
    attempt_refusal,
    check,
)
from backoffice.tables import MOMENT, metadata

suitability = Table(
    "suitability",
    metadata,
    Column("suitability_id", BigInteger, primary_key=True),
    Column("customer_id", BigInteger),
    Column("questionnaire", Integer),
    Column("answers", JSONB),
    Column("points", Integer),
    Column("level", SmallInteger),
    Column("capped_by", ARRAY(Text)),
    Column("on_day", Date),
    Column("user_id", BigInteger),
    Column("at", MOMENT),
)


@cache
def document() -> dict[str, Any]:
    """The questionnaire with its texts, as people answer it."""
    return tomllib.loads(files("backoffice.rating").joinpath("questionnaire.toml").read_text("utf-8"))


@cache
def questionnaire() -> Questionnaire:
    """The same, to reckon with."""
    found = document()
    questions = tuple(
        Question(
            each["key"],
            {answer["key"]: answer["points"] for answer in each["answers"]},
            {answer["key"]: answer["cap"] for answer in each["answers"] if "cap" in answer},
        )
        for each in found["questions"]
    )
    first, second, third, fourth = found["level_from_points"]
    return Questionnaire(found["version"], questions, (first, second, third, fourth))


async def rules(context: Context, day: date) -> Rules:
    """The market's figures on a day."""
    names = ("questionnaire_months", "questionnaires_day_max", "questionnaires_year_max", "elderly_from_age")
    return Rules(*[await parameters.value(context, f"suitability.{name}", day) for name in names])


async def answer(context: Context, customer_id: int, answers: Mapping[str, str]) -> dict[str, Any]:
    """Record a customer's answers and set the level. Problem for too many attempts, or answers that are not there.

    The attempts of one customer queue up at the customer's row, so none is too many at the same time.
    """
    await customers.lock(context, customer_id)  # before anything holds the row with others
    await customers.require_active(context, customer_id)
    today = await businessday.today(context)
    figures = await rules(context, today)
    earlier = select(suitability.c.on_day).where(suitability.c.customer_id == customer_id)
    days = list((await context.connection.execute(earlier)).scalars())
    refusal = attempt_refusal(days, today, figures)
    if refusal is not None:
        raise Problem(Code.STATE, refusal.value, more={"refusal": refusal.value})
    try:
        scored = questionnaire().level(answers)
    except ValueError as error:
        field, _, words = str(error).partition(": ")
        raise invalid(field, words) from None
    values = {
        "customer_id": customer_id, "questionnaire": questionnaire().version, "answers": dict(answers),
        "points": scored.points, "level": scored.level, "capped_by": list(scored.capped_by), "on_day": today,
        "user_id": context.actor.user_id, "at": context.clock(),
    }  # fmt: skip
    made = rows_of(await context.connection.execute(insert(suitability).values(**values).returning(suitability)))[0]
    before = (await customers.row_of(context, customer_id))["risk_level"]
    until = Assessment(today, scored.level).valid_until(figures)
    await customers.touch(context, customer_id, {"risk_level": scored.level, "risk_until": until}, "rated")
    if before != scored.level:
        detail = {"before": before, "level": scored.level, "until": until.isoformat()}
        await notices.notify(context, f"customer:{customer_id}", "suitability.changed", detail)
    return made | {"until": until}


async def history(context: Context, customer_id: int) -> list[dict[str, Any]]:
    """All assessments of a customer, newest first."""
    query = (
        select(suitability)
        .where(suitability.c.customer_id == customer_id)
        .order_by(suitability.c.suitability_id.desc())
    )
    return rows_of(await context.connection.execute(query))


async def verdict(context: Context, customer_id: int, product_level: int, *, loses: bool) -> Verdict:
    """Whether a customer may buy a product of a level today."""
    today = await businessday.today(context)
    row = await customers.row_of(context, customer_id)
    newest = (await history(context, customer_id))[:1]
    assessment = None
    if newest and row["risk_level"] is not None:
        # What lowered the level meanwhile (behaviour) counts: the stricter one.
        assessment = Assessment(newest[0]["on_day"], min(newest[0]["level"], row["risk_level"]))
    age = None if row["birth_year"] is None else today.year - row["birth_year"]
    return check(product_level, assessment, age, today, await rules(context, today), loses=loses)
