"""The core's commands, one module for each group. `arbitrade_core.cli` puts them together."""
