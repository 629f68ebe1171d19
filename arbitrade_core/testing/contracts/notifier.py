"""NOTIFIER: what every notifier must hold."""

import gc
import threading
from collections.abc import Iterator

from arbitrade_core.domain import Alert, Severity
from arbitrade_core.spi import Notifier
from arbitrade_core.testing.builders import START_NS
from arbitrade_core.testing.contracts.rules import Contract, holds, holds_name, rule
from arbitrade_core.testing.guard import BLOCKING, watched

_STORM = 12_000
_THREADS = 4


class NotifierContract(Contract[Notifier]):
    KIND = "notifier"
    most_kept = 10_000
    """alerts that may wait in it at once"""

    @rule("NOTIFIER-01", source="DESIGN 3")
    def test_notifier_01_has_a_name(self) -> None:
        """It has a name: the catalogue lists it, and its faults are told by that."""
        holds_name(self.make(), self.KIND)

    @rule("NOTIFIER-02", source="DESIGN 3, RELIABILITY 12")
    def test_notifier_02_send_does_not_wait(self) -> None:
        """`send` returns at once: no network, file to open, process or sleep on the thread that trades."""
        notifier = self.make()
        notifier.send(alert(0))  # the first may start its thread, or import what it needs
        for number in range(20):
            with watched(BLOCKING - {"builtins.print"}, files=False) as seen:
                notifier.send(alert(number))
            holds(not seen, f"on the caller's thread, send called {seen.first}; hand the alert to a thread of its own")

    @rule("NOTIFIER-03", source="DESIGN 3, RELIABILITY 12")
    def test_notifier_03_never_raises(self) -> None:
        """`send` never raises, whatever the text: what people cannot be told must not stop what they are told of."""
        notifier = self.make()
        for odd in odd_alerts():
            try:
                notifier.send(odd)
            except Exception as error:  # noqa: BLE001 - that it raises at all is what is looked for
                holds(False, f"text of {len(odd.text)} characters {odd.text[:20]!r}: {type(error).__name__}: {error}")

    @rule("NOTIFIER-04", source="RELIABILITY 12")
    def test_notifier_04_keeps_a_bounded_number(self) -> None:
        """In a storm it keeps a bounded number of alerts: memory must last as long as the trouble does."""
        notifier = self.make()
        before = _alive()
        for number in range(_STORM):
            notifier.send(alert(number))
        kept = _alive() - before
        holds(
            kept <= self.most_kept, f"after {_STORM} alerts {kept} are kept; keep at most {self.most_kept}, drop, count"
        )

    @rule("NOTIFIER-05", source="DESIGN 3")
    def test_notifier_05_is_called_from_any_thread(self) -> None:
        """It may be called from several threads at once: trading, its watchdog and services all raise alerts."""
        notifier = self.make()
        errors: list[BaseException] = []

        def storm() -> None:
            try:
                for number in range(200):
                    notifier.send(alert(number))
            except Exception as error:  # noqa: BLE001 - told below, on the thread that asks
                errors.append(error)

        threads = [threading.Thread(target=storm) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        holds(not errors, f"from {_THREADS} threads at once: {errors[:1]}")


def alert(number: int) -> Alert:
    return Alert(Severity.INFO, "kit.storm", f"alert {number}", START_NS + number)


def odd_alerts() -> Iterator[Alert]:
    """Texts that some day come from an exchange's message, in every severity."""
    texts = (
        "",
        " ",
        "plain",
        "two\nlines\r\n",
        "\x00\x1b[31m\x7f",
        "ünï ✓ 💥",
        "\ud800 half a character",
        "%s {0} {x}",
    )
    for severity in Severity:
        for text in (*texts, "x" * 1_000_000):
            yield Alert(severity, "kit.odd", text, START_NS)
    yield Alert(Severity.CRITICAL, "", "no topic", 0)


def _alive() -> int:
    gc.collect()
    return sum(type(one) is Alert for one in gc.get_objects())
