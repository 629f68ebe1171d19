"""The load that figures are quoted for: 1,228 pairs, 550 assets, 2,662 directed cycles, depth 10, seeded."""

from dataclasses import dataclass

from arbitrade_core.composition import Past, compose, load
from arbitrade_core.engine import Engine
from arbitrade_core.events import ConnId, StartAssets
from arbitrade_core.meter import Meter
from arbitrade_core.testing.world import World
from arbitrade_kraken.loopback import Loopback
from arbitrade_kraken.simulator.exchange import DEFAULT_START_NS, SimulatedExchange
from arbitrade_kraken.simulator.mispricing import MispricingPlan

RATE_PER_S = 2_000.0


@dataclass(frozen=True, slots=True)
class Load:
    """An engine with every book live, and the frames that come next, each with its connection and time."""

    engine: Engine
    snapshots: list[bytes]
    updates: list[tuple[ConnId, bytes, int]]


def build(updates: int, *, pairs: int, seed: int, mispricings_per_s: float) -> Load:
    """The real engine with the enabled plugins, connected to the simulated exchange; then `updates` book frames."""
    loaded = load().adjusted("kraken", ws_url="ws://simulated/v2", fee_tier="tier-1", messages_per_s=1000.0)
    exchange = SimulatedExchange(
        seed, pairs, messages_per_s=RATE_PER_S, mispricings=MispricingPlan(per_s=mispricings_per_s)
    )
    setup = loaded.setup("bench")
    setup.register_all()
    engine = compose(setup, now=DEFAULT_START_NS, system="system", past=Past())
    engine.measure(Meter())  # as in a running bot
    peer = Loopback(exchange)
    peer.frames = []
    world = World(engine, peer, start_ns=DEFAULT_START_NS, fees=setup.fees)
    exchange.messages_per_s = 1e-9  # quiet while books are fetched
    world.start()
    # Cycles are counted as if they could start anywhere: the whole market is the load.
    world.run_for(100_000_000)
    world.take(StartAssets("bench", tuple(sorted(exchange.universe.assets)), world.now))
    world.run_for(10_000_000_000)
    if engine.checksums_bad or not engine.market.in_use():
        raise RuntimeError(f"the load is not sound: {engine.faults}, {engine.checksums_bad} bad checksums")
    snapshots = [frame for frame in peer.frames if frame.startswith(b'{"channel":"book","type":"snapshot"')]
    coming: list[tuple[ConnId, bytes, int]] = []
    symbols = exchange.market
    now = world.now
    gap_ns = round(1e9 / RATE_PER_S)
    while len(coming) < updates:
        now += gap_ns
        exchange.event_on(symbols.draw())
        coming += [
            (conn, frame, now)
            for conn, frame in peer.advance(now)
            if frame is not None and frame.startswith(b'{"channel":"book"')
        ]
    return Load(engine, snapshots, coming[:updates])
