"""The shadow's engine on the inputs of another: faults, commits and connections included, without processes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from arbitrade_core.composition import Loaded, Past, compose
from arbitrade_core.errors import PluginError
from arbitrade_core.events import Append, Command, Connect, FeesLoaded, Frame, Input, PluginEnabled, Transmit
from arbitrade_core.inputs_codec import decode_input, encode_input
from arbitrade_core.money import exact
from arbitrade_core.shadow.compare import Comparison, Reader
from arbitrade_core.shadow.replica import Replica
from arbitrade_core.shadow.wire import Connected, Said, Started, Transmitted, Wrote
from arbitrade_kraken.simulator.exchange import DEFAULT_START_NS
from tests.engine import sessions
from tests.engine.watched import Watched


class Tapped(Watched):
    """A world that keeps what a shadow is told, as the bot's shell tells it, and what it decided itself."""

    said: list[Said]

    def start(self) -> None:
        self.said = [Started(self.now)]
        self.seq = 0
        self.comparison = Comparison()
        self._reader = Reader()
        super().start()

    def take(self, event: Input) -> None:
        self.seq += 1
        self.said.append(decode_input(encode_input(event)))
        super().take(event)

    def _carry_out(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Connect(conn, url):
                    self.said.append(Connected(conn, url))
                case Transmit(_, data):
                    self.said.append(Transmitted(data))
                case Append(records):
                    self.comparison.bot(self._reader.read(records, self.seq))
                    last = {record.stream: record.seq for record in records}
                    self.said += [Wrote(stream, seq) for stream, seq in last.items()]
                case _:
                    pass
        super()._carry_out(commands)

    def end(self) -> None:
        pass


def session(seed: int, monkeypatch: pytest.MonkeyPatch) -> Tapped:
    monkeypatch.setattr(sessions, "Watched", Tapped)
    world = sessions.Session(seed).run().world
    assert isinstance(world, Tapped)
    return world


def no_plugin(name: str) -> str:
    raise PluginError(f"plugin {name!r} is not installed")


def replica(adjust: Callable[[Loaded], Loaded] = lambda loaded: loaded) -> Replica:
    setup = adjust(sessions._loaded()).setup("desk")
    setup.register_all()
    return Replica(compose(setup, now=DEFAULT_START_NS, system="system", past=Past()), no_plugin)


def followed(world: Tapped, shadow: Replica) -> dict[str, Any]:
    for said in world.said:
        world.comparison.shadow(shadow.take(said))
    world.comparison.settle(world.seq)
    return world.comparison.view()


@pytest.mark.parametrize("seed", range(3))
def test_the_same_version_decides_the_same_through_every_fault(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world = session(seed, monkeypatch)
    shadow = replica()
    view = followed(world, shadow)
    assert view["compared"] == view["same"] > 20, view["examples"]
    assert shadow.engine.candidates == world.engine.candidates
    assert shadow.engine.faults == world.engine.faults
    assert shadow.engine.desks[0].ledger.accounts() == world.desk.ledger.accounts()
    # A message to a connection that broke just then leaves one side alone, so only the others must be none.
    assert shadow.astray.connections_asked == shadow.astray.connections_unasked == 0
    assert shadow.astray.inputs_left_out == 0


def test_a_version_with_another_threshold_differs_and_its_own_plans_go_on_to_their_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pickier(loaded: Loaded) -> Loaded:
        trading = loaded.core.trading.model_copy(update={"min_edge_bps": Decimal(120)})
        risk = loaded.core.risk.model_copy(update={"max_cycle_notional_valued": Decimal(333)})
        core = loaded.core.model_copy(update={"trading": trading, "risk": risk})
        return replace(loaded, settings=replace(loaded.settings, core=core))

    shadow = replica(pickier)
    view = followed(session(1, monkeypatch), shadow)
    assert view["only_bot"] > 0
    assert view["different"] + view["only_shadow"] > 0
    assert shadow.engine.candidates > 0
    desk = shadow.engine.desks[0]
    assert desk.conductor.approved > 0
    assert not desk.open_plans, "plans that the bot never had were committed and ended"
    with exact():
        assert desk.ledger.problems() == []


def test_what_the_other_side_does_not_have_is_counted_and_told() -> None:
    shadow, now = replica(), DEFAULT_START_NS
    shadow.take(Started(now))
    shadow.take(Connected(1, "ws://elsewhere/v2"))
    shadow.take(Frame(1, b"{}", now))
    assert shadow.astray.connections_unasked == 1
    assert shadow.astray.connections_asked == 1
    assert shadow.astray.inputs_left_out == 1
    shadow.take(Transmitted(b'{"method":"subscribe"}'))
    assert shadow.astray.messages_unasked == 1
    assert "subscribe" in shadow.astray.example
    shadow.take(PluginEnabled("other", "2.0", "cli", now))
    assert "plugin 'other' cannot be enabled here" in shadow.astray.example
    setup = sessions._loaded().setup("desk")
    shadow.take(FeesLoaded("another", setup_fees(setup), now))
    assert "no desk 'another'" in shadow.astray.example
    assert shadow.progress().seq == 3


def setup_fees(setup: Any) -> Any:
    setup.register_all()
    return setup.fees([], DEFAULT_START_NS)


def test_a_connection_is_the_bots_of_the_same_address_whatever_its_number() -> None:
    shadow, now = replica(), DEFAULT_START_NS
    shadow.take(Started(now))
    shadow.take(Connected(7, "ws://simulated/v2"))
    shadow.take(Frame(7, b'{"channel":"heartbeat"}', now))
    assert shadow.astray.connections_asked == shadow.astray.inputs_left_out == 0
    assert shadow.engine.frames == 1
