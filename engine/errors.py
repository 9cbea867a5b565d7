"""The exceptions that leave the engine. A refused transfer is a result and never one of these."""


class EngineError(Exception):
    """Something that is not a business answer."""


class CapacityError(EngineError):
    """A store is too small for the batch; nothing of it was applied."""


class InvariantError(EngineError):
    """The books do not balance, or a structure contradicts itself. Stop, and rebuild from the log."""


class RecordError(EngineError):
    """Bytes that should be a log record are not one."""


class SnapshotError(EngineError):
    """A snapshot is damaged, or of a version that this build cannot read."""
