"""Backtests and sweeps as jobs: a queue in the database, worker processes, and what the surfaces ask of them.

asked      what somebody says in words, parsed; every problem at once
fees       the fee profile of a job, resolved
submit     from what was asked to a job that is complete in itself
api        what command line and dashboard do with jobs
tools      the recording and the replay, as jobs use them
bridge     chunks of the database for a thread
running    one job, from its claim to its end
worker     the process of jobs
processes  starting and ending it
service    it beside a running bot
results    results as bytes, and their headlines
"""
