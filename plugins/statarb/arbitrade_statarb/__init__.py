"""Statistical arbitrage, experimental: pairs that revert, traded by rotating a funded baseline (TRADING 37)."""
