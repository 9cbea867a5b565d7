"""Run a program of PostgreSQL so that it ends with us, and never as root. Started as a script, not imported.

    python -I -S launcher.py PARENT plain|userns|setuid UID GID PROGRAM ARGUMENT…

- It asks the kernel to send it SIGINT (PostgreSQL's fast shutdown) when the process that started it ends, however
  that ends. The order matters: a change of credentials clears that wish, so it comes last, and the parent is
  looked at afterwards, since it may have ended before.
- PostgreSQL refuses to run as root. `userns` maps our own uid to UID in a new user namespace: nothing needs to be
  chowned, and directories that only root may enter stay usable. `setuid` becomes UID instead.

A process of its own, since a threaded server must not run Python between fork and exec.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
EXIT_REFUSED = 71
"""The user namespace or the change of user was refused."""


def main() -> int:
    """Become the program, or return an exit code."""
    parent, mode, uid, gid = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    program = sys.argv[5:]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if mode == "userns":
            outer_uid, outer_gid = os.geteuid(), os.getegid()
            if libc.unshare(CLONE_NEWUSER) != 0:
                raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
            process = Path("/proc/self")
            (process / "setgroups").write_text("deny")
            (process / "uid_map").write_text(f"{uid} {outer_uid} 1")
            (process / "gid_map").write_text(f"{gid} {outer_gid} 1")
        elif mode == "setuid":
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
    except OSError as error:
        print(f"{mode}: {error}", file=sys.stderr)
        return EXIT_REFUSED
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0) != 0:
        print("prctl(PR_SET_PDEATHSIG) failed", file=sys.stderr)
        return EXIT_REFUSED
    if os.getppid() != parent:
        return 0
    try:
        os.execv(program[0], program)  # noqa: S606 - the program is ours, with its full path
    except OSError as error:
        print(f"{program[0]}: {error}", file=sys.stderr)
        return EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main())
