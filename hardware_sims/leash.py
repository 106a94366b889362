"""``python -m hardware_sims.leash STARTER PROGRAM ARGUMENT...``: the program, asked to stop once its starter is gone.

However the demo ends, kill -9 included, its programs get SIGTERM and end in order: none of them goes on alone, holding
ports and devices. Linux keeps this wish over exec.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    starter, program = int(sys.argv[1]), sys.argv[2]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != starter:
        sys.exit("leash: whoever started this is gone already")
    try:
        os.execv(program, sys.argv[2:])  # noqa: S606 - the command of the demo's own program
    except OSError as error:
        sys.exit(f"{program}: {error.strerror}")


if __name__ == "__main__":
    main()
