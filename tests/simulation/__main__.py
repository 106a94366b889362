"""``python -m tests.simulation`` from the top of the repository."""

import sys

from tests.simulation.run import main

sys.exit(main())
