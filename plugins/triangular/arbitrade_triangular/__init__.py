"""Triangular arbitrage: the cycle index and the incremental detector."""
