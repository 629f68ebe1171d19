"""The running bot around its engine: plugins that come and go, their services, the watchdog, and the verbs.

`plugins` toggles, `services` runs what plugins run beside trading, `verbs` is what the bot answers, `watchdog` ends a
process whose trading loop hangs in a plugin.
"""

from arbitrade_core.host.plugins import PluginHost
from arbitrade_core.host.services import Services
from arbitrade_core.host.verbs import offer_core_verbs

__all__ = ["PluginHost", "Services", "offer_core_verbs"]
