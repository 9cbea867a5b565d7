"""The table of a connection's states."""

import itertools

import pytest

from server.session import MOVES, READS, Event, IllegalMoveError, State, diagram, move


def test_every_pair_of_state_and_event_is_decided() -> None:
    """The whole table, as it is meant; a change of it must be made twice."""
    expected = {
        (State.CONNECTED, Event.LOGON): State.LOGGED_ON,
        (State.CONNECTED, Event.DRAIN): State.DRAINING,
        (State.CONNECTED, Event.LOST): State.CLOSED,
        (State.LOGGED_ON, Event.LOGON): State.LOGGED_ON,
        (State.LOGGED_ON, Event.DRAIN): State.DRAINING,
        (State.LOGGED_ON, Event.LOST): State.CLOSED,
        (State.DRAINING, Event.DRAIN): State.DRAINING,
        (State.DRAINING, Event.DRAINED): State.CLOSED,
        (State.DRAINING, Event.LOST): State.CLOSED,
        (State.CLOSED, Event.LOST): State.CLOSED,
    }
    for state, event in itertools.product(State, Event):
        if (state, event) in expected:
            assert move(state, event) is expected[state, event]
        else:
            with pytest.raises(IllegalMoveError, match=f"{state} cannot {event}"):
                move(state, event)


def test_nothing_is_read_once_it_drains() -> None:
    for state in READS:
        assert move(state, Event.DRAIN) not in READS
    reachable = {State.DRAINING}
    for _ in State:
        reachable |= {target for state in reachable for target in MOVES[state].values()}
    assert not reachable & READS


def test_the_diagram_has_every_move() -> None:
    text = diagram()
    assert "connected --> logged_on: logon" in text
    assert "draining --> closed: lost" in text
    assert text.count("-->") == sum(len(moves) for moves in MOVES.values()) - 1 + 2
