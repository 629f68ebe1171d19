"""A recording: everything that a run's engine was fed, in arrival order, as data.

`entries`: what one is made of. `chunks`: entries as compressed bytes, and back.
"""
