"""Carrying plans out: lifecycles, executors, the unwind planner, the paper venue."""
