"""Storage on PostgreSQL: the server, the connection, the schema, what is written and what is read.

embedded        a local server that needs no installation, shared by the processes that use it
connect         where the database is, pools, and one clear error when it is not there
migrations      plain numbered SQL, applied once
journal_store   the durable record and its chain
projector       journal records -> tables
observations    appearances, lossy
recordings      what an engine was fed, to be replayed
backtests       the queue of jobs; what a worker owns of it: backtest_ownership
repositories    reads for people
"""
