"""How other processes speak with the running bot, and what it can be asked.

`verbs` is the core's API: the command line, the dashboard and plugins' services all ask through it. `server` answers
it on a loopback socket, with or without a database; `client` is the other end.
"""

from arbitrade_core.control.client import NotRunning, call, running
from arbitrade_core.control.server import Address, control_file, serve
from arbitrade_core.control.verbs import Verbs

__all__ = ["Address", "NotRunning", "Verbs", "call", "control_file", "running", "serve"]
