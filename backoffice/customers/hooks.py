"""What others do when a customer changes, in the transaction of the change; registered at import."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from backoffice.context import Context
from backoffice.customers.fields import Fields

Changed = Callable[[Context, dict[str, Any], Fields], Awaitable[None]]
"""Takes the customer's row and the personal fields in clear, after every creation and change of either."""
Allowed = Callable[[Context, int], Awaitable[None]]
"""Takes a customer's number; raises Problem when the customer must not become active."""

ON_CHANGE: Final[list[Changed]] = []
BEFORE_ACTIVE: Final[list[Allowed]] = []
