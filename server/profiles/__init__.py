"""Market profiles as data: terms of instruments and trading sessions, each figure with its dates and its source.

A profile is a TOML file of this package. `terms.NAME` is a list of figures {value, valid_from, valid_to, source}; of
those only the one that is valid on the day counts. `variants.X.terms` adds to them or replaces them, and is named
`profile.X`. `sessions` is the day's schedule.

Profiles are resolved here, at the edge: the log holds the figures that came out, never the name of a profile, so a
replay under other profiles gives the same state.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

NAMES = ("a-share", "zce-futures", "crypto-spot")


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of a term, and when it is the right one."""

    value: int | str
    valid_from: date | None
    valid_to: date | None
    """The last day, included."""
    source: str

    def valid(self, day: date) -> bool:
        """Whether it is the right one on that day."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


@dataclass(frozen=True, slots=True)
class Phase:
    """From a time of the day on, an instrument is in this state."""

    at: time
    state: str
    cancels: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """One file."""

    name: str
    title: str
    zone: ZoneInfo
    weekdays: frozenset[int]
    """Days of the week with sessions, 0 = Monday."""
    terms: dict[str, tuple[Figure, ...]]
    variants: dict[str, dict[str, tuple[Figure, ...]]]
    phases: tuple[Phase, ...]
    """In order of the day; empty: always continuous."""

    def resolve(self, day: date) -> dict[str, dict[str, int | str]]:
        """Terms by name, of the profile and of its variants, as they are on a day."""
        own = _on(self.terms, day)
        names = {self.name: own}
        for variant, terms in self.variants.items():
            names[f"{self.name}.{variant}"] = own | _on(terms, day)
        return names

    def phase(self, now: datetime) -> Phase | None:
        """Return the phase of a moment; None when the profile has no schedule."""
        return None if not self.phases else self._at(now)[0]

    def next_change(self, now: datetime) -> datetime | None:
        """Return when the next phase begins."""
        return None if not self.phases else self._at(now)[1]

    def _at(self, now: datetime) -> tuple[Phase, datetime]:
        local = now.astimezone(self.zone)
        before = self.phases[-1]
        for begins, phase in self._from(local.date() - timedelta(days=7)):
            if begins > local:
                return before, begins
            before = phase
        raise AssertionError("a schedule has no end")

    def _from(self, day: date) -> Iterator[tuple[datetime, Phase]]:
        while True:
            if day.weekday() in self.weekdays:
                for phase in self.phases:
                    yield datetime.combine(day, phase.at, self.zone), phase
            day += timedelta(days=1)


def _on(terms: dict[str, tuple[Figure, ...]], day: date) -> dict[str, int | str]:
    found: dict[str, int | str] = {}
    for name, figures in terms.items():
        for figure in figures:
            if figure.valid(day):
                found[name] = figure.value
    return found


@cache
def load(name: str) -> Profile:
    """Read a profile of this package; ValueError names the file and what is wrong with it."""
    if name not in NAMES:
        raise ValueError(f"{name!r} is not one of {', '.join(NAMES)}")
    return parse(name, files(__package__).joinpath(f"{name}.toml").read_text("utf-8"))


def parse(name: str, text: str) -> Profile:
    """Read the text of a profile."""
    document = tomllib.loads(text)
    phases = tuple(Phase(item["at"], item["state"], item.get("cancels", True)) for item in document.get("sessions", []))
    if list(phases) != sorted(phases, key=lambda phase: phase.at):
        raise ValueError(f"{name}: sessions are not in order")
    return Profile(
        name,
        document["title"],
        ZoneInfo(document["timezone"]),
        frozenset(document.get("weekdays", range(7))),
        _figures(name, document["terms"]),
        {variant: _figures(f"{name}.{variant}", table["terms"]) for variant, table in
         document.get("variants", {}).items()},
        phases,
    )  # fmt: skip


def _figures(where: str, table: dict[str, list[dict[str, Any]]]) -> dict[str, tuple[Figure, ...]]:
    terms = {}
    for term, figures in table.items():
        made = tuple(
            Figure(item["value"], item.get("valid_from"), item.get("valid_to"), item["source"]) for item in figures
        )
        for one, other in pairwise(made):
            if one.valid_to is None or other.valid_from is None or one.valid_to >= other.valid_from:
                raise ValueError(f"{where}.{term}: two figures are valid on the same day")
        terms[term] = made
    return terms


def terms_today(now: datetime | None = None) -> dict[str, dict[str, int | str]]:
    """Terms of all profiles and variants, by name, as they are on their own markets' day."""
    moment = datetime.now(UTC) if now is None else now
    names: dict[str, dict[str, int | str]] = {}
    for name in NAMES:
        profile = load(name)
        names |= profile.resolve(moment.astimezone(profile.zone).date())
    return names
