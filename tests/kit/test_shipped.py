"""Every shipped plugin passes the contracts of what it registers."""

from collections import Counter
from collections.abc import Sequence

import pytest

from arbitrade_alerts.service import Alerts
from arbitrade_alerts.settings import AlertsSettings
from arbitrade_core.spi import Detector, Feed, Notifier
from arbitrade_core.testing.checking import Examined, check_distribution
from arbitrade_core.testing.contracts import (
    CONTRACTS,
    DetectorContract,
    FeedContract,
    NotifierContract,
    Verdict,
)
from arbitrade_core.testing.contracts.detector import walks
from arbitrade_core.testing.contracts.feed import Playing
from arbitrade_core.testing.triangles import EveryTriangle
from arbitrade_kraken.feed import KrakenFeed
from arbitrade_kraken.settings import KrakenSettings
from arbitrade_triangular.detector import TriangularDetector
from tests.kraken.exchange import HEARTBEAT, STATUS, book, instrument, instruments, snapshot

SYMBOLS = ("BTC/USD", "ETH/BTC")


@pytest.fixture(scope="module")
def examined() -> list[Examined]:
    return list(check_distribution("arbitrade"))


def test_all_rules_hold(examined: list[Examined]) -> None:
    broken = [
        f"{one.plugin} {one.kind} {one.name}: {result.number} {result.reason}"
        for one in examined
        for result in one.results
        if result.verdict is Verdict.FAILED
    ]
    assert broken == []


def test_every_kind_is_among_them(examined: list[Examined]) -> None:
    kinds = Counter(one.kind for one in examined)
    assert set(kinds) == {contract.KIND for contract in CONTRACTS}
    assert kinds["risk check"] > 15
    assert {one.name for one in examined} >= {"kraken", "triangular", "sequential", "paper", "log", "halted"}


def test_rules_are_numbered_without_gaps_and_say_what_and_why() -> None:
    for contract in CONTRACTS:
        rules = contract.rules()
        prefix = rules[0].number.partition("-")[0]
        assert [rule.number for rule in rules] == [f"{prefix}-{number:02}" for number in range(1, len(rules) + 1)]
        for rule in rules:
            assert rule.what.endswith(".")
            assert rule.source
            assert rule.method.startswith(f"test_{rule.number.lower().replace('-', '_')}_")


class TestKraken(FeedContract):
    """With frames as Kraken sends them, cut and mixed."""

    def make(self) -> Feed:
        return KrakenFeed(KrakenSettings(ws_url="ws://kraken"))

    def samples(self) -> Sequence[bytes]:
        return [
            STATUS,
            instruments(*map(instrument, SYMBOLS)),
            HEARTBEAT,
            b'{"method":"subscribe","result":{"channel":"book","depth":10,"symbol":"BTC/USD"},"success":true,"req_id":1}',
            *map(snapshot, SYMBOLS),
            book("BTC/USD", [("100.0", "3.00000000")], kind="update"),
            book("ETH/BTC", asks=[("100.1", "0.00000000")], kind="update", checksum=1),
            b'{"method":"pong","req_id":3}',
        ]


def test_the_samples_reach_krakens_books() -> None:
    playing = Playing(TestKraken().make())
    for frame in TestKraken().samples():
        playing.frame(playing.connections()[0], frame)
    assert playing.port.listed == list(SYMBOLS)
    assert set(playing.port.carrier) == {0, 1}
    assert playing.port.sent


class TestTriangular(DetectorContract):
    def make(self) -> Detector:
        return TriangularDetector()


class TestEveryTriangle(DetectorContract):
    """The kit's own stand-in."""

    def make(self) -> Detector:
        return EveryTriangle()


def test_the_walk_is_worth_walking() -> None:
    """It lifts cycles over their hurdle, takes them back, and the two detectors agree all along."""
    told = 0
    for one, other in zip(walks(TriangularDetector()), walks(EveryTriangle()), strict=True):
        assert {frozenset(legs) for legs in one.known.values()} == {frozenset(legs) for legs in other.known.values()}
        told = len(one.told)
    assert told > 100


class TestAlerts(NotifierContract):
    def make(self) -> Notifier:
        return Alerts(AlertsSettings.model_validate({"channels": "hook=json://127.0.0.1:1/x"}))
