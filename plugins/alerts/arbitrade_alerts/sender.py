"""Delivery by apprise, which blocks: one thread for each channel, so that a dead one stalls no other.

Nothing here raises an error that holds a URL, and nothing that runs here logs one (`redact`).
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING
from warnings import catch_warnings
from zoneinfo import ZoneInfo

from arbitrade_alerts.messages import Delivery, Message, worded
from arbitrade_alerts.redact import Redactor, guarded
from arbitrade_core.domain import Severity
from arbitrade_core.errors import ArbitradeError

if TYPE_CHECKING:
    from apprise import NotifyBase

_REASON_LIMIT = 300


class DeliveryError(ArbitradeError):
    """A message did not arrive. The reason is redacted."""


class Outlet:
    """The far end of one channel. Not for two threads at once."""

    def __init__(self, name: str, url: str, timeout_s: float, zone: ZoneInfo) -> None:
        """`timeout_s`: for connecting, and for each answer. Nothing is loaded or opened yet."""
        self.name = name
        self._url = url
        self._timeout_s = timeout_s
        self._zone = zone
        self._redactor = Redactor((url,))
        self._service: NotifyBase | None = None

    def __repr__(self) -> str:
        return f"Outlet({self.name!r})"

    @property
    def service(self) -> str:
        """What apprise calls the service: `Telegram`. Raises DeliveryError when the URL is none it can use."""
        return str(self._opened().service_name)

    def send(self, message: Message) -> None:
        """Deliver it and wait for the answer. Raises DeliveryError."""
        from apprise import NotifyFormat, NotifyType  # noqa: PLC0415 - a second to load, for those who send alone

        kinds = {
            Severity.INFO: NotifyType.INFO,
            Severity.WARNING: NotifyType.WARNING,
            Severity.CRITICAL: NotifyType.FAILURE,
        }
        service = self._opened()
        with guarded(self._redactor) as warnings:
            try:
                title, body = worded(message, self._zone)
                arrived = service.notify(
                    body=body, title=title, notify_type=kinds[message.severity], body_format=NotifyFormat.TEXT
                )
            except Exception as error:  # noqa: BLE001 - a hundred services with errors of their own: it did not arrive
                arrived = False
                warnings.append(f"{type(error).__name__}: {error}")
        if not arrived:
            # Outside of `except`, so that no error of a library, which may hold the URL, hangs on to this one.
            raise DeliveryError(self._reason(warnings))

    def _opened(self) -> "NotifyBase":
        if self._service is None:
            self._service = self._open()
        return self._service

    def _open(self) -> "NotifyBase":
        from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - likewise

        asset = AppriseAsset(
            app_id="Arbitrade",
            app_desc="Arbitrade",
            app_url="",
            image_url_mask="",
            storage_mode="memory",  # nothing of ours is written to disk
            http_redirects=False,  # a redirect would carry the token to another host
            pgp_autogen=False,
            pem_autogen=False,
        )
        service = None
        # The first opening imports every service that apprise has, and their libraries' deprecations with them.
        with guarded(self._redactor) as warnings, catch_warnings(action="ignore", category=DeprecationWarning):
            try:
                service = Apprise.instantiate(self._url, asset=asset, suppress_exceptions=False)
            except Exception as error:  # noqa: BLE001 - likewise: the URL is of no use
                warnings.append(f"{type(error).__name__}: {error}")
        if service is None:
            raise DeliveryError(self._reason(warnings or ["the URL is of no service that apprise knows"]))
        service.socket_connect_timeout = service.socket_read_timeout = self._timeout_s
        service.request_rate_per_sec = 0  # the channel's own limit paces it
        return service

    def _reason(self, texts: list[str]) -> str:
        text = self._redactor("; ".join(dict.fromkeys(texts))) or "apprise could not deliver it and does not say why"
        return text if len(text) <= _REASON_LIMIT else f"{text[:_REASON_LIMIT]}..."


class Courier:
    """One channel's thread. It carries one delivery at a time and reports how it ended."""

    def __init__(self, outlet: Outlet, report: Callable[[Delivery, str | None], None]) -> None:
        """`report(delivery, reason)` is called on the courier's thread; no reason: it arrived."""
        self._outlet = outlet
        self._report = report
        self._box: SimpleQueue[Delivery | None] = SimpleQueue()
        self._busy = False
        self._thread = threading.Thread(target=self._work, name=f"alerts-{outlet.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def carry(self, delivery: Delivery) -> None:
        """Returns at once. A courier that hangs in an earlier delivery reports this one as failed."""
        if self._busy:
            self._report(delivery, "still held up by an earlier message")
            return
        self._busy = True
        self._box.put(delivery)

    def stop(self) -> None:
        """It ends after the delivery it is in; a daemon, it keeps no process from ending."""
        self._box.put(None)

    def _work(self) -> None:
        while (delivery := self._box.get()) is not None:
            reason = None
            try:
                self._outlet.send(delivery.message)
            except DeliveryError as error:
                reason = str(error)
            self._busy = False
            self._report(delivery, reason)
