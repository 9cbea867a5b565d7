from itertools import product

import pytest

from backoffice.products.lifecycle import MOVES, SECOND_PERSON, Move, Refusal, State, moved


@pytest.mark.parametrize(("state", "move"), list(product(State, Move)))
def test_every_cell(state: State, move: Move) -> None:
    assert moved(state, move, "maker", "checker") is MOVES.get((state, move), Refusal.NOT_FROM_HERE)


def reachable(start: State) -> set[State]:
    found = {start}
    while more := {after for (before, _), after in MOVES.items() if before in found} - found:
        found |= more
    return found


def test_terms_change_only_in_drafts_and_drafts_come_only_from_rejection() -> None:
    assert [state for state, move in MOVES if move is Move.EDIT] == [State.DRAFT]
    for state in (State.APPROVED, State.ON_SALE, State.SUSPENDED, State.RETIRED):
        assert State.DRAFT not in reachable(state)
    assert reachable(State.RETIRED) == {State.RETIRED}
    assert reachable(State.DRAFT) == set(State)


def test_nothing_is_sold_that_no_second_person_has_approved() -> None:
    without = {key: after for key, after in MOVES.items() if key[1] not in SECOND_PERSON}
    found = {State.DRAFT}
    while more := {after for (before, _), after in without.items() if before in found} - found:
        found |= more
    assert State.ON_SALE not in found
    assert moved(State.SUBMITTED, Move.APPROVE, "li", "li") is Refusal.MAKER_IS_CHECKER
    assert moved(State.SUBMITTED, Move.REJECT, "li", "li") is Refusal.MAKER_IS_CHECKER
