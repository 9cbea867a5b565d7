"""What the console is told over HTTP."""

from datetime import date, datetime
from typing import Any

from pydantic import Field

from backoffice.api.models import Out, UserOut


class ConsoleSessionOut(Out):
    user: UserOut
    permissions: list[str]
    idle_minutes: int = Field(description="Without a request for so long the session ends.")
    business_date: date


class NoticeOut(Out):
    notice_id: int
    audience: str
    kind: str
    detail: dict[str, Any]
    made_at: datetime
    read_at: datetime | None


class NoticesOut(Out):
    items: list[NoticeOut]
    next: str | None
