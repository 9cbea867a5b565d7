"""The life of a version of a product: which moves exist, and who may make them.

A version is never changed once it is approved: new terms are a new version, and contracts keep the one that they were
made under. Approving and rejecting need a second person, who is not the one that made the version.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a version is."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    """Waits for a checker; its terms no longer change."""
    APPROVED = "approved"
    ON_SALE = "on_sale"
    SUSPENDED = "suspended"
    """No new sales; what runs goes on."""
    RETIRED = "retired"
    """Never sold again; what runs goes on to its end."""


class Move(StrEnum):
    """What can be done with a version."""

    EDIT = "edit"
    SUBMIT = "submit"
    REJECT = "reject"
    APPROVE = "approve"
    LAUNCH = "launch"
    SUSPEND = "suspend"
    RESUME = "resume"
    RETIRE = "retire"


MOVES: dict[tuple[State, Move], State] = {
    (State.DRAFT, Move.EDIT): State.DRAFT,
    (State.DRAFT, Move.SUBMIT): State.SUBMITTED,
    (State.SUBMITTED, Move.REJECT): State.DRAFT,
    (State.SUBMITTED, Move.APPROVE): State.APPROVED,
    (State.APPROVED, Move.LAUNCH): State.ON_SALE,
    (State.APPROVED, Move.RETIRE): State.RETIRED,
    (State.ON_SALE, Move.SUSPEND): State.SUSPENDED,
    (State.SUSPENDED, Move.RESUME): State.ON_SALE,
    (State.SUSPENDED, Move.RETIRE): State.RETIRED,
    (State.ON_SALE, Move.RETIRE): State.RETIRED,
}
"""All moves there are; any other is refused."""

SECOND_PERSON = frozenset({Move.APPROVE, Move.REJECT})
"""Moves that the maker of the version cannot make."""


class Refusal(StrEnum):
    """Why a move is not made."""

    NOT_FROM_HERE = "not_from_here"
    MAKER_IS_CHECKER = "maker_is_checker"


def moved(state: State, move: Move, maker: str, actor: str) -> State | Refusal:
    """The state after the move, or why it is refused."""
    if (state, move) not in MOVES:
        return Refusal.NOT_FROM_HERE
    if move in SECOND_PERSON and maker == actor:
        return Refusal.MAKER_IS_CHECKER
    return MOVES[state, move]
