"""What the journal raises. After `Fenced`, `LogLost` or `LogDamaged` nothing may be answered any more."""


class JournalError(Exception):
    """The base of everything below."""


class Fenced(JournalError):  # noqa: N818 - a state of the process, named as the field names it
    """Another leader has written: this process must stop at once and answer nothing more."""


class LogLost(JournalError):  # noqa: N818
    """Rows that were acknowledged are gone (a restore, or a failover that lost commits). Halt; a person decides."""


class LogDamaged(JournalError):  # noqa: N818
    """A row of the log is missing or not what was written."""

    NEWEST = -1
    """As `seq`: the newest row, whatever its number is, since it cannot be read."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(f"the newest log row: {what}" if seq == self.NEWEST else f"log row {seq}: {what}")
        self.seq = seq
        self.what = what


class UnsafeDatabase(JournalError):  # noqa: N818
    """The database's settings or version do not keep what it confirms, or it is not our log."""


class JournalClosed(JournalError):  # noqa: N818
    """The journal was closed, or an append of it was cancelled and its outcome will not be known."""


class PostgresUnavailable(JournalError):  # noqa: N818
    """The private PostgreSQL could not be started, or a server not be reached in the time given."""
