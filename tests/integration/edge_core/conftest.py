"""Real processes, real disks that fail, a real broker."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
