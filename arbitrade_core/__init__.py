"""Arbitrade's framework: it knows no exchange and no strategy (see docs/architecture.md)."""
