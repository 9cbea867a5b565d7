"""Profiles: figures of their day, schedules, and that an instrument can be listed with each."""

from datetime import UTC, date, datetime, time

import pytest

from engine.order_results import Session
from server import profiles, wire
from server.profiles import NAMES, Phase, load, parse, terms_today


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_where_it_is_from(name: str):
    profile = load(name)
    for terms in (profile.terms, *profile.variants.values()):
        for figures in terms.values():
            assert all(figure.source for figure in figures)
            assert sum(figure.valid(date(2026, 11, 23)) for figure in figures) == 1
    assert all(phase.state.upper() in Session.__members__ for phase in profile.phases)


def test_the_wire_takes_them():
    table = wire.Profiles(terms_today())
    assert {"a-share", "a-share.star", "zce-futures", "zce-futures.CF", "crypto-spot"} <= set(table.names)


def test_figures_are_those_of_the_day():
    share = load("a-share")
    assert share.resolve(date(2023, 8, 27))["a-share"]["sell_duty_ppm"] == 1_000
    assert share.resolve(date(2023, 8, 28))["a-share"]["sell_duty_ppm"] == 500
    assert share.resolve(date(2026, 7, 5))["a-share.st"]["price_band_ppm"] == 50_000
    assert share.resolve(date(2026, 7, 6))["a-share.st"]["price_band_ppm"] == 100_000
    # 16:00 in London is midnight in Shanghai: the market's day counts.
    assert terms_today(datetime(2026, 7, 5, 15, 59, tzinfo=UTC))["a-share.st"]["price_band_ppm"] == 50_000
    assert terms_today(datetime(2026, 7, 5, 16, 0, tzinfo=UTC))["a-share.st"]["price_band_ppm"] == 100_000


@pytest.mark.parametrize(
    ("at", "state", "cancels", "change"),
    [
        ("2026-11-23T09:14:59", "closed", True, "2026-11-23T09:15:00"),
        ("2026-11-23T09:15:00", "auction", True, "2026-11-23T09:20:00"),
        ("2026-11-23T09:24:00", "auction", False, "2026-11-23T09:25:00"),
        ("2026-11-23T10:00:00", "continuous", True, "2026-11-23T11:30:00"),
        ("2026-11-23T14:58:00", "auction", False, "2026-11-23T15:00:00"),
        ("2026-11-27T16:00:00", "closed", True, "2026-11-30T09:15:00"),
        ("2026-11-29T10:00:00", "closed", True, "2026-11-30T09:15:00"),
    ],
)
def test_a_schedule_tells_phase_and_next_change(at: str, state: str, cancels: bool, change: str):
    share = load("a-share")
    now = datetime.fromisoformat(at).replace(tzinfo=share.zone)
    phase = share.phase(now.astimezone(UTC))
    assert phase is not None
    assert (phase.state, phase.cancels) == (state, cancels)
    assert share.next_change(now) == datetime.fromisoformat(change).replace(tzinfo=share.zone)


def test_no_schedule():
    assert load("crypto-spot").phase(datetime.now(UTC)) is None
    assert load("crypto-spot").next_change(datetime.now(UTC)) is None


def test_what_is_wrong_with_a_profile_is_said():
    head = 'title = "x"\ntimezone = "UTC"\n'
    with pytest.raises(ValueError, match=r"x\.tick_size: two figures"):
        parse("x", head + 'terms.tick_size = [{value=1, source="a"}, {value=2, source="b"}]')
    phases = '[[sessions]]\nat = 10:00:00\nstate = "closed"\n[[sessions]]\nat = 09:00:00\nstate = "closed"\n'
    with pytest.raises(ValueError, match="sessions are not in order"):
        parse("x", head + "terms = {}\n" + phases)
    with pytest.raises(ValueError, match="is not one of a-share"):
        load("bonds")
    assert Phase(time(9), "closed", cancels=True).at == time(9)
    assert profiles.NAMES[0] == "a-share"
