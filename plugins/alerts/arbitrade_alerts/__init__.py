"""Alerts to people: routing, quiet hours, limits, escalation, and delivery by apprise."""
