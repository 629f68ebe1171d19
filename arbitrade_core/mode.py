"""How the process trades. Known to `runtime` and `cli` alone: everything else is the same code in every mode."""

from enum import StrEnum


class Mode(StrEnum):
    PAPER = "paper"
    """real market data, paper venue"""
    DEMO = "demo"
    """the simulated exchange's market data, paper venue, a database of its own"""
    RECORD = "record"
    """real market data, nothing traded, everything recorded; a bot may run beside it on the same database"""
    SCAN = "scan"
    """real market data, nothing traded and nothing kept"""
