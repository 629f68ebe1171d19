"""Recordings in the database: how they come there, what is read of them, and which days must stay.

recorder  what an engine is fed, from the trading loop to the recorder's thread
states    the state of books, asked of feeds a few at a time
thread    the recorder's thread
cutting   entries into chunks, as time goes by
delivery  chunks into the database, with patience
writing   one recording: its row, its chunks, its gaps
reading   what there is, what it covers, and the chunks of a range
days      partitions by UTC day, pins, and making room
"""
