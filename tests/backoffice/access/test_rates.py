"""Who asks too often is told how long to wait; others are not held up."""

import pytest

from backoffice.access.rates import Rates
from backoffice.settings import SettingError, Settings
from tests.backoffice.conftest import Office


async def test_a_user_who_asks_too_often_waits(office: Office) -> None:
    office.use(rate_user="5/hour")
    await office.add("li", "auditor")
    await office.add("wang", "auditor")
    answers = [await office.ask("li", "GET", "/me") for _ in range(7)]
    assert [each.status_code for each in answers] == [200] * 5 + [429] * 2
    assert answers[-1].json()["code"] == "too_many"
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
    assert (await office.ask("wang", "GET", "/me")).status_code == 200


async def test_logons_are_counted_by_address_whoever_it_is(office: Office) -> None:
    office.use(rate_address="3/hour")
    answers = [await office.log_on(f"nobody-{number}", "wrong password") for number in range(4)]
    assert [each.status_code for each in answers] == [401, 401, 401, 429]
    assert (await office.ask(None, "GET", "/health")).status_code == 200


@pytest.mark.parametrize("text", ["often", "", "-1/minute"])
def test_a_setting_that_is_no_rate_is_named(text: str) -> None:
    with pytest.raises(SettingError, match="rate_user"):
        Rates(Settings(rate_user=text))


def test_no_limit_can_be_asked_for() -> None:
    assert Rates(Settings(rate_user="none", rate_address="none"))
