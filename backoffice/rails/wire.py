"""What the office and a rail say to each other, as JSON. Both sides read it without trust: unknown members are refused.

Every operation has a reference of the office's own; with the same reference a rail does a thing once and answers the
same again. Everything that happens at a rail is an event with an id of the rail's own, and stands in the answer, in
the inquiry's answer and in a callback alike: whoever tells of it first, it counts once.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

CALLBACK_BYTES_MAX = 16_384
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Minor = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
ResponseCode = Annotated[str, Field(max_length=8)]
Words = Annotated[str, Field(max_length=200)]
Instrument = Annotated[dict[Name, Annotated[str, Field(max_length=140)]], Field(max_length=16)]
"""With what is paid or who is paid: a card's token, a code, an account at another bank."""


class RailKind(StrEnum):
    """What sort of rail it is."""

    CARD = "card"
    WALLET = "wallet"
    QR = "qr"
    INTERBANK = "interbank"


class Operation(StrEnum):
    """What a rail is asked to do."""

    AUTHORISE = "authorise"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


class EventKind(StrEnum):
    """What has happened at a rail. The first seven are those of a payment's life (`payments.states`)."""

    AUTHORISE = "authorise"
    DECLINE = "decline"
    CAPTURE = "capture"
    VOID = "void"
    EXPIRE = "expire"
    REFUND = "refund"
    REVERSE = "reverse"
    REFUSE = "refuse"
    """An operation on a payment was refused; the payment is as it was."""
    CREDIT = "credit"
    """Money has come in for one of our accounts, that nobody here ordered."""
    DEBIT = "debit"
    """Somebody outside wants to collect with a code that our customer has shown; the answer decides."""


class Status(StrEnum):
    """How far an operation is."""

    DONE = "done"
    DECLINED = "declined"
    PENDING = "pending"
    """Taken, not decided: an event will tell, or an inquiry."""


class Message(BaseModel):
    """One JSON object."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OperationIn(Message):
    """An order to a rail. `amount_minor` is 0 for a void, which takes all there is."""

    reference: Name
    operation: Operation
    payment: Name
    """The office's reference of the payment, the same for all its operations."""
    amount_minor: Minor = 0
    currency: Currency = "CNY"
    collect: bool = False
    """AUTHORISE alone: we collect for our customer instead of paying out."""
    instrument: Instrument = {}


class IncomingIn(Message):
    """What somebody outside does at a simulated rail: pay in (`credit`) or collect with a code (`debit`)."""

    kind: EventKind
    name: Name
    amount_minor: Minor
    currency: Currency = "CNY"
    instrument: Instrument = {}


class EventOut(Message):
    """Something that has happened at a rail."""

    id: Name
    kind: EventKind
    reference: Annotated[str, Field(max_length=64)] = ""
    """Of the operation that it answers; empty for what the rail does by itself."""
    payment: Name
    """The office's reference; the rail's own for what began outside."""
    rail_reference: Name
    amount_minor: Minor = 0
    currency: Currency = "CNY"
    at: datetime
    code: ResponseCode = ""
    """ISO 8583 response code of a refusal."""
    reason: Words = ""
    instrument: Instrument = {}


class AnswerOut(Message):
    """How far an operation is, and what has happened because of it."""

    reference: Name
    status: Status
    code: ResponseCode = ""
    reason: Words = ""
    events: tuple[EventOut, ...] = ()


class CallbackIn(Message):
    """What a rail posts to the office."""

    event: EventOut


class CallbackOut(Message):
    """That the event is kept. `accepted` counts for DEBIT alone: whether the customer's bank agrees."""

    taken: Literal[True] = True
    accepted: bool = True
    reason: str = ""
