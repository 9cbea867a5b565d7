class Batch:
    """The requests that share a log entry, with their items and room for the answers (see `batch.pxd`)."""

    answers: list[bytes]
    def __len__(self) -> int: ...
