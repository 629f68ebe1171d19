"""A simulated exchange that speaks Kraken's WebSocket v2 public protocol on loopback, from a seed.

It shares no code with the bot (books, checksum, money, prices): what the two agree on, they agree on because
both follow the protocol. Layers, each importing only those above it:

    chance, listing, names, universe   what is listed: assets, pairs, precisions, activity
    orderbook, checksum, wire          one book; Kraken's checksum; bytes of every frame
    market, mispricing                 what happens to the books, and the planted opportunities
    session, exchange, control         the sans-I/O exchange: requests in, frames out, faults on demand
    stream, shape                      frames in bulk for benchmarks, and their measured shape
    account, rest                      an account with a key and fees; REST on loopback, its private calls signed
    server, command                    the loopback server and its command line
"""
