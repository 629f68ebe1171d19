"""A process that uses the embedded server until its standard input closes: `python -m tests.storage.holder
DIR`.

Prints the postmaster's PID when the server is up, and whether it stopped it at the end.
"""

import sys
from pathlib import Path

from arbitrade_core.storage.embedded import EmbeddedServer


def main() -> None:
    server = EmbeddedServer(Path(sys.argv[1]), fsync=False)
    server.start()
    sys.stdout.write((server.data / "postmaster.pid").read_text().splitlines()[0] + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    sys.stdout.write(f"{server.stop()}\n")


main()
