"""`python -m server`: the server with settings from the environment alone. `tongbao serve` takes flags too."""

import sys

from server.lifecycle import Exit, run
from server.settings import Settings, SettingsError


def main() -> int:
    """Run the server."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.stderr.write(f"tongbao: {error}\n")
        return int(Exit.SETTINGS)
    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
