"""Rules have days: the right one is found on each, and days that are over never change."""

from datetime import date

import asyncpg
import pytest

from backoffice import parameters
from backoffice.context import SYSTEM, Context
from backoffice.problems import Code, Problem
from tests.backoffice.conftest import Office


async def value(office: Office, name: str, day: date, scope: str = "") -> object:
    async with office.database.transaction() as connection:
        return await parameters.value(Context(connection, SYSTEM), name, day, scope)


async def test_each_day_has_its_value(office: Office) -> None:
    """The band of ST shares on the main board has changed on 2026-07-06."""
    name, scope = "stock.price_limit_ppm", "main_board_st"
    assert await value(office, name, date(2026, 7, 5), scope) == 50_000
    assert await value(office, name, date(2026, 7, 6), scope) == 100_000
    with pytest.raises(Problem, match="has no value on 1990-01-01"):
        await value(office, name, date(1990, 1, 1), scope)


async def test_a_scope_of_its_own_comes_before_all(office: Office) -> None:
    day = date(2026, 11, 23)
    assert await value(office, "loan_class.loss_days_overdue", day, "credit_card") == 181
    assert await value(office, "loan_class.loss_days_overdue", day, "mortgage") == 361


def test_every_rule_has_a_source_and_one_value_a_day() -> None:
    rules = list(parameters.rules())
    assert all(rule.source for rule in rules)
    for rule in rules:
        same = [each for each in rules if (each.name, each.scope) == (rule.name, rule.scope) and each is not rule]
        for other in same:
            assert rule.valid_from != other.valid_from
            first, second = sorted((rule, other), key=lambda each: each.valid_from)
            assert first.valid_to is not None
            assert first.valid_to < second.valid_from


async def test_a_second_seed_changes_nothing(office: Office) -> None:
    async with office.database.transaction() as connection:
        assert await parameters.seed(Context(connection, SYSTEM)) == 0


async def test_a_new_value_ends_the_one_before(office: Office) -> None:
    name = "large_value.cash_cny"
    async with office.database.transaction() as connection:
        context = Context(connection, SYSTEM, lambda: office.time)
        rule = parameters.Rule(name, 4_000_000, date(2027, 1, 1), None, "a notice of the year's end")
        await parameters.change(context, rule)
    assert await value(office, name, date(2026, 12, 31)) == 5_000_000
    assert await value(office, name, date(2027, 1, 1)) == 4_000_000


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (parameters.Rule("large_value.cash_cny", 1, date(2026, 11, 23), None, "s"), Code.INVALID),
        (parameters.Rule("large_value.cash_cny", "1", date(2027, 1, 1), None, "s"), Code.INVALID),
        (parameters.Rule("large_value.cash_cny", 1, date(2027, 1, 1), None, "  "), Code.INVALID),
        (parameters.Rule("large_value.typo", 1, date(2027, 1, 1), None, "s"), Code.NOT_FOUND),
    ],
)
async def test_what_cannot_be_changed(office: Office, rule: parameters.Rule, code: Code) -> None:
    with pytest.raises(Problem) as caught:
        async with office.database.transaction() as connection:
            await parameters.change(Context(connection, SYSTEM, lambda: office.time), rule)
    assert caught.value.code is code


async def test_the_database_itself_keeps_days_apart(office: Office) -> None:
    connection = await asyncpg.connect(office.dsn)
    with pytest.raises(asyncpg.ExclusionViolationError):
        await connection.execute(
            "INSERT INTO office.parameters (name, value, valid_from, source) "
            "VALUES ('large_value.cash_cny', '1', '2026-01-01', 's')"
        )
    await connection.close()
