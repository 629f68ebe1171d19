"""A third-party plugin for Arbitrade: trade within given hours, and on calm pairs only."""
