"""The plugin's errors.

ArbitradeError
└── SeriesError  a series does not allow the statistic that was asked of it
"""

from arbitrade_core.errors import ArbitradeError


class SeriesError(ArbitradeError):
    """Too short, constant, collinear, or not finite: the message says which, where, and what to do."""
