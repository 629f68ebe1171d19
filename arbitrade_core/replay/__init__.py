"""What a replay earned, and how sure that is. Pure: numbers in, frozen messages out, chance injected.

`statistics`: intervals by block bootstrap. `selection`: what is left of a winner after the search for it.
`curves`: results over latency and fee tiers, edges, lifetimes, drawdown, exposure.

The messages encode with msgspec; money becomes decimal text.
"""
