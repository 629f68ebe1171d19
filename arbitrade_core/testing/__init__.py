"""The plugin author's kit: the same engine as production, on simulated time, without sockets, threads or a database.

| module | what it is for |
|---|---|
| `builders` | pairs, legs, fees, orders and plans in one line each |
| `clock` | `SimClock`: time that passes when a test says so |
| `market`, `desk` | `FakeMarket`, `FakeDesk`: what plugins read, moved by verbs (`market.sees`, `desk.holds`) |
| `venue` | `FakeVenue`: answers each order as it was told to |
| `journal` | `MemoryJournal`: records and their hash chain, readable again from its lines |
| `player`, `moves` | `MarketPlayer`: plays a market through a real engine with the plugin's objects in it |
| `contracts` | what every feed, venue, detector, risk check, executor and notifier must hold, numbered |
| `feed_port` | `FakeFeedPort`: what a feed asked for and told |
| `triangles` | `EveryTriangle`: a plain detector, for tests that need candidates |
| `guard` | sees I/O, clocks, chance and threads, whatever way they were imported |
| `checking` | contracts of an installed distribution, without pytest |
| `budget` | what a call costs, measured against a fixed piece of work in the same run |
| `world` | the engine on simulated time, for whoever builds a scene of their own |
| `pytest_plugin` | fixtures `arbitrade_market`, `arbitrade_desk`, `arbitrade_clock`, `arbitrade_player` |
"""
