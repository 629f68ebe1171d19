"""Recordings in the database: how they are written, what is read of them, and which days must stay.

writing  one recording: its row, its chunks, its gaps
reading  what there is, what it covers, and the chunks of a range
days     partitions by UTC day, pins, and making room
"""
