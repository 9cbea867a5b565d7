"""A scorecard: points for what is known of a customer, a grade, and the reasons in order of their weight.

Every characteristic gives points by the bin its value lies in; what is missing has a bin of its own and is not
guessed. The reason codes are the characteristics that cost the most points against the best bin (the maximum points
lost method, Siddiqi 2006, ch. 6), so that a customer can be told what would have to change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Characteristic:
    """Points by value: `bounds` are the least values of every bin after the first, `points` one more than bounds."""

    key: str
    bounds: tuple[int, ...]
    points: tuple[int, ...]
    missing_points: int
    reason_code: str

    def __post_init__(self) -> None:
        if len(self.points) != len(self.bounds) + 1:
            raise ValueError(f"{self.key}.points: {len(self.points)} for {len(self.bounds)} bounds, one more is needed")
        if any(later <= earlier for earlier, later in pairwise(self.bounds)):
            raise ValueError(f"{self.key}.bounds: must ascend")

    def points_of(self, value: int | None) -> int:
        """Points of a value; a bound belongs to the bin above it."""
        return self.missing_points if value is None else self.points[sum(value >= bound for bound in self.bounds)]

    @property
    def best(self) -> int:
        """Most points that a known value can get."""
        return max(self.points)


@dataclass(frozen=True, slots=True)
class Rating:
    """A customer's rating under one version: higher points are better."""

    version: int
    points: int
    grade: str
    points_by_key: Mapping[str, int]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A version of the model. Grades are (least points, grade) from the best down, the last without a floor."""

    version: int
    base_points: int
    characteristics: tuple[Characteristic, ...]
    grades: tuple[tuple[int, str], ...]
    worst_grade: str
    reasons_max: int = 4

    def __post_init__(self) -> None:
        if any(later[0] >= earlier[0] for earlier, later in pairwise(self.grades)):
            raise ValueError("grades: must descend from the best")
        keys = [characteristic.key for characteristic in self.characteristics]
        if len(set(keys)) != len(keys):
            raise ValueError("characteristics: a key stands twice")

    def rate(self, values: Mapping[str, int | None]) -> Rating:
        """Points, grade and reasons. A key that the card does not know is refused: it would be ignored silently."""
        unknown = sorted(set(values) - {characteristic.key for characteristic in self.characteristics})
        if unknown:
            raise ValueError(f"{unknown[0]}: no such characteristic in version {self.version}")
        points = {c.key: c.points_of(values.get(c.key)) for c in self.characteristics}
        total = self.base_points + sum(points.values())
        grade = next((name for least, name in self.grades if total >= least), self.worst_grade)
        lost = [(c.best - points[c.key], c.reason_code) for c in self.characteristics]
        reasons = [code for loss, code in sorted(lost, key=lambda pair: (-pair[0], pair[1])) if loss > 0]
        return Rating(self.version, total, grade, points, tuple(reasons[: self.reasons_max]))
