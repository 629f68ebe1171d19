"""Kit for tests: an engine on simulated time, without sockets, threads or a database."""
