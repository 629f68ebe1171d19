"""Under which user the server runs. PostgreSQL refuses root, so root needs a way to be somebody else.

An existing data directory is run as its owner. A new one of root's is run in a user namespace in which root
is mapped to 65534: the files stay root's and nothing needs a change of mode. Where that is denied (the
default seccomp profile of containers) it is run as uid 65534, which must be able to reach the directory by
itself: modes of parent directories are never touched.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534

# Run by a fresh, single-threaded interpreter (a process with threads may not unshare its user namespace).
# Arguments: uid to become (0: root of a user namespace mapped to 65534), directory, program and its
# arguments.
_BECOME = f"""
import os, sys
uid, folder, argv = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
if uid:
    os.setgroups([]); os.setgid(int(os.stat(folder).st_gid) or uid); os.setuid(uid)
else:
    os.unshare(os.CLONE_NEWUSER)
    for name, line in (("setgroups", "deny"), ("uid_map", "{NOBODY} 0 1"), ("gid_map", "{NOBODY} 0 1")):
        with open("/proc/self/" + name, "w") as file:
            file.write(line)
os.chdir(folder)
if not os.access(".", os.W_OK):
    sys.exit("cannot write to " + folder)
os.execv(argv[0], argv)
"""


@dataclass(frozen=True, slots=True)
class RunAs:
    """How to start a program as the server's user. `uid` None: as ourselves; 0: root's namespace; else that user."""

    uid: int | None

    def command(self, folder: Path, argv: list[str]) -> list[str]:
        if self.uid is None:
            return argv
        return [sys.executable, "-I", "-S", "-c", _BECOME, str(self.uid), str(folder), *argv]

    def works(self, folder: Path, program: str) -> bool:
        """Whether the user can be become, reaches `folder`, and may run `program`."""
        if self.uid is None:
            return os.access(folder, os.W_OK | os.X_OK)
        try:
            answer = subprocess.run(  # noqa: S603
                self.command(folder, [program, "--version"]),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=20,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return answer.returncode == 0


def owner_uid(path: Path) -> int:
    return path.stat().st_uid


def candidates(folder: Path) -> list[RunAs]:
    """Ways to run a server whose files are in `folder`, in order of preference."""
    if os.name == "nt" or os.geteuid() != 0:
        return [RunAs(None)]
    owner = owner_uid(folder)
    if owner != 0:
        return [RunAs(owner)]
    return [RunAs(0)]


def hand_over(path: Path, uid: int) -> None:
    """Make `path` the property of `uid`; only done to what was just created."""
    os.chown(path, uid, uid)
