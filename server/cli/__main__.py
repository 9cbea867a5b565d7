"""`python -m server.cli` is `tongbao`."""

import sys

from server.cli import main

sys.exit(main())
