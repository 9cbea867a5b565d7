"""Keys of personal data on the command line."""

from pathlib import Path

from cyclopts import App

from backoffice.privacy.keyring import new_master

app = App(name="keys", help="Keys of personal data.")


@app.command
def new(file: Path, /) -> int:
    """Write a new master key to a file that only its owner may read. Keep a copy apart: without it all is unreadable.

    Exit codes: 0 written, 2 the file is there already or cannot be written.

    Parameters
    ----------
    file
        Where to write it; for OFFICE_MASTER_KEY_FILE.
    """
    try:
        new_master(file)
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    print(f"{file}: a new master key; keep a copy apart")
    return 0
