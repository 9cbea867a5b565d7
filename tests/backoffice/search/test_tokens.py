"""Parts of names: whatever a name really has in it, its parts find; what is found and does not fit is seen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backoffice.search.tokens import alternatives, fits, parts_of, readings
from tests.backoffice.customers.make import FAMILY, GIVEN

NAMES = st.one_of(
    st.text(FAMILY + GIVEN + "重乐单长行", min_size=2, max_size=6),
    st.lists(st.text("abcdefghijklmnoprstuvw", min_size=2, max_size=8), min_size=1, max_size=3).map(" ".join),
)


def finds(name: str, text: str) -> bool:
    return any(each <= parts_of(name) for each in alternatives(text))


@pytest.mark.parametrize(
    ("name", "text", "yes"),
    [
        ("王小明", "小明", True), ("王小明", "wang", True), ("王小明", "wangxiaoming", True),
        ("王小明", "Wang Xiao", True),
        ("王小明", "wxm", True), ("王小明", "xm", True), ("王小明", "明小", False), ("王小明", "wm", False),
        ("重庆商贸有限公司", "chongqing", True), ("重庆商贸有限公司", "cqsm", True), ("李乐", "liyue", True),
        ("吕布", "lvbu", True), ("John Smith", "smi", True), ("John Smith", "JOHN", True), ("John Smith", "xyz", False),
        ("王小明", "！", False),
    ],
)  # fmt: skip
def test_what_people_type(name: str, text: str, yes: bool) -> None:
    assert (finds(name, text) and fits(name, text)) is yes


@settings(deadline=None)
@given(NAMES, st.data())
def test_any_part_of_a_name_finds_it(name: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(name) - 1))
    part = name[start : start + data.draw(st.integers(1, 6))].strip()
    if part and (not part.isascii() or len(part.replace(" ", "")) >= 3) and " " not in part:
        assert fits(name, part)
        assert finds(name, part)


@settings(deadline=None)
@given(st.text(FAMILY + GIVEN + "重乐单长行", min_size=1, max_size=6), st.data())
def test_any_reading_of_neighbours_finds_the_name(name: str, data: st.DataObject) -> None:
    places = readings(name)
    start = data.draw(st.integers(0, len(places) - 1))
    chosen = [data.draw(st.sampled_from(sorted(place))) for place in places[start : start + 3]]
    for text in ("".join(chosen), "".join(each[0] for each in chosen)):
        assert fits(name, text)
    assert finds(name, "".join(each[0] for each in chosen))
    assert finds(name, " ".join(chosen)) or len("".join(chosen)) > 14  # very long ones have more ways to be read
