"""Plugins: which are installed, which are in use, and what became of them.

`catalogue` holds one entry a plugin and decides which are enabled, `importing` turns an entry point into a module that
has been looked over, `needs` says what plugins need of each other.
"""

from arbitrade_core.plugins.catalogue import (
    CORE,
    EXPERIMENTAL_GROUP,
    GROUP,
    Catalogue,
    Entry,
    State,
    Toggle,
    load_catalogue,
)
from arbitrade_core.plugins.importing import Imported, import_plugin
from arbitrade_core.plugins.needs import KINDS, dependents, unmet

__all__ = [
    "CORE",
    "EXPERIMENTAL_GROUP",
    "GROUP",
    "KINDS",
    "Catalogue",
    "Entry",
    "Imported",
    "State",
    "Toggle",
    "dependents",
    "import_plugin",
    "load_catalogue",
    "unmet",
]
