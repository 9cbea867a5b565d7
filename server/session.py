"""The life of one connection, as a table. No socket and no event loop in here.

    connected --logon--> logged_on
        |                   |
        +---- drain --------+----> draining --drained--> closed
        +---- lost ---------+-----------+------lost----> closed

`connected` may only ping and log on. `draining` reads nothing more; what was accepted is still answered. The diagram
in docs/ARCHITECTURE.md and the tests are made from `MOVES`; a move that is not in it is a fault of ours.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a connection stands."""

    CONNECTED = "connected"
    LOGGED_ON = "logged_on"
    DRAINING = "draining"
    CLOSED = "closed"


class Event(StrEnum):
    """What may happen to a connection."""

    LOGON = "logon"
    """A logon was accepted; on a connection that is logged on it changes the channel."""
    DRAIN = "drain"
    """No further request is accepted: end of input, a fatal error, a deadline, or the server stops."""
    DRAINED = "drained"
    """The last reply has been handed to the transport."""
    LOST = "lost"
    """The peer or the network ended it, or we dropped it."""


MOVES: dict[State, dict[Event, State]] = {
    State.CONNECTED: {Event.LOGON: State.LOGGED_ON, Event.DRAIN: State.DRAINING, Event.LOST: State.CLOSED},
    State.LOGGED_ON: {Event.LOGON: State.LOGGED_ON, Event.DRAIN: State.DRAINING, Event.LOST: State.CLOSED},
    State.DRAINING: {Event.DRAIN: State.DRAINING, Event.DRAINED: State.CLOSED, Event.LOST: State.CLOSED},
    State.CLOSED: {Event.LOST: State.CLOSED},
}

READS = frozenset({State.CONNECTED, State.LOGGED_ON})
"""States in which bytes of the client are parsed."""


class IllegalMoveError(RuntimeError):
    """The server asked for a move that the table does not have: a fault in the server."""


def move(state: State, event: Event) -> State:
    """Return the state after `event`; raises IllegalMoveError when there is no such move."""
    try:
        return MOVES[state][event]
    except KeyError:
        raise IllegalMoveError(f"a connection that is {state} cannot {event}") from None


def diagram() -> str:
    """Render the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> connected"]
    for state, moves in MOVES.items():
        lines += [f"    {state} --> {target}: {event}" for event, target in moves.items() if state is not State.CLOSED]
    return "\n".join([*lines, "    closed --> [*]"]) + "\n"


# Reasons not to read a client for the moment; a connection holds them as bits.
FULL_BATCH = 1
"""The open batch has no room."""
SLOW_READER = 2
"""Too many of its replies wait for it."""
RATE = 4
"""Its channel has used its requests per second."""
WINDOW = 8
"""Its channel has as many unanswered requests as it may have."""
BEHIND_LOG = 16
"""Its next request asks for a log entry that a replica has not applied yet."""
