"""All randomness of the simulated exchange: independent streams, each named under one seed.

Seeding with text makes Python's generator hash the text itself (SHA-512), so a stream does not depend on
PYTHONHASHSEED. Streams are separate so that, say, planting a mispricing does not change which assets are
listed.
"""

from random import Random


def stream(seed: int, name: str) -> Random:
    """A reproducible generator for one purpose (`"listing"`, `"market"`, ...)."""
    return Random(f"arbitrade-simulator/{seed}/{name}")  # noqa: S311 - a reproducible market, not a secret
