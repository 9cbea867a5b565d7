"""What can be wrong with a projection, each with what to do about it."""


class ProjectionError(Exception):
    """The tables cannot be used as they are; the message says what to do."""
