"""Backtests and sweeps as jobs: a queue in the database, worker processes, and what the surfaces ask of them."""
