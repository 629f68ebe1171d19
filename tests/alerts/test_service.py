"""The plugin at work: real threads, real servers, dead ends."""

import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
import structlog
from pydantic import SecretStr

from arbitrade_alerts.inbox import Inbox
from arbitrade_alerts.messages import Delivery, Kind, Message
from arbitrade_alerts.panel import AlertsPanel
from arbitrade_alerts.policy import Policy
from arbitrade_alerts.sender import Courier, Outlet
from arbitrade_alerts.service import Alerts
from arbitrade_alerts.settings import AlertsSettings
from arbitrade_alerts.verbs import UnknownAlert
from arbitrade_core.domain import Alert, Severity
from arbitrade_core.services import Verb
from tests.alerts.servers import black_hole, free_port, hook, mail_server

pytestmark = pytest.mark.anyio
WARNING, CRITICAL, INFO = Severity.WARNING, Severity.CRITICAL, Severity.INFO


class Host:
    """The bot, as far as the service needs one."""

    def __init__(self) -> None:
        self.verbs: dict[str, Verb] = {}

    def offer(self, verb: str, answer: Verb) -> None:
        self.verbs[verb] = answer

    async def call(self, verb: str, parameters: Any, actor: str) -> Any:
        return await self.verbs[verb](parameters, actor)

    def alert(self, severity: Severity, topic: str, text: str) -> None:
        raise AssertionError("the plugin tells nobody through itself")

    def pool(self) -> AbstractAsyncContextManager[Any]:
        raise AssertionError("the plugin has no tables")


def settings(channels: str, **values: Any) -> AlertsSettings:
    values = {"routes": ("info * -> *",), "summary_at": "never", "timeout_s": 1, **values}
    return AlertsSettings.model_validate({"channels": SecretStr(channels), **values})


def alert(severity: Severity = WARNING, topic: str = "feed.lag", text: str = "late") -> Alert:
    return Alert(severity, topic, text, time.time_ns())


@asynccontextmanager
async def running(alerts: Alerts) -> AsyncIterator[Host]:
    host = Host()
    async with alerts.run(host):
        yield host


async def until(met: Callable[[], Any], within_s: float = 20.0) -> None:
    with anyio.fail_after(within_s):
        while True:
            found = met()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return
            await anyio.sleep(0.01)


async def test_alerts_that_come_before_it_runs_are_delivered_when_it_does() -> None:
    with hook() as server, mail_server() as (mailbox, mail_url):
        alerts = Alerts(settings(f"hook={server.url()} mail={mail_url}"))
        alerts.send(alert(text="early"))
        assert alerts.queued == 1
        async with running(alerts):
            await until(lambda: server.got and mailbox.mails)
            alerts.send(alert(CRITICAL, "desk.halt", "halted"))
            await until(lambda: len(server.got) == 2 and len(mailbox.mails) == 2)
    assert server.titles() == ["WARNING: feed.lag", "CRITICAL: desk.halt"]


async def test_ten_thousand_of_one_kind_are_a_message_and_a_count() -> None:
    with hook() as server:
        alerts = Alerts(settings(f"hook={server.url()}"))
        async with running(alerts):
            for _ in range(10_000):
                alerts.send(alert())
            await until(lambda: alerts.queued == 0)
    messages = [message["message"].splitlines()[0] for message in server.got]
    assert messages[0] == "late"
    assert len(messages) == 2
    assert messages[1].startswith("repeated 9999 times")


async def test_ten_thousand_different_ones_are_the_limit_and_one_digest() -> None:
    with hook() as server:
        alerts = Alerts(settings(f"hook={server.url()}", max_messages=8, window_s=60))
        async with running(alerts):
            for number in range(10_000):
                alerts.send(alert(text=f"late {number}"))
            await until(lambda: alerts.queued == 0)
    assert [title for title in server.titles() if not title.startswith("Digest")] == ["WARNING: feed.lag"] * 6
    (digest,) = [message for message in server.got if message["title"].startswith("Digest")]
    assert "9994 x warning feed.lag, last: late 9999" in digest["message"]


async def test_a_dead_channel_stalls_no_other_and_not_the_one_who_sends() -> None:
    with hook() as server, black_hole() as silent:
        dead = f"silent=json://127.0.0.1:{silent}/x refused=json://127.0.0.1:{free_port()}/x"
        alerts = Alerts(settings(f"{dead} hook={server.url()}"))
        async with running(alerts) as host:
            for number in range(5):
                alerts.send(alert(CRITICAL, text=f"late {number}"))
            await until(lambda: len(server.got) == 5)

            async def both_fail() -> bool:
                status = await host.call("status", {}, "ann")
                return all(one["failures"] for one in status["channels"] if one["name"] != "hook")

            await until(both_fail)
            status = await host.call("status", {}, "ann")
            assert [one["waiting"] for one in status["channels"]] == [5, 5, 0]


async def test_a_channel_that_comes_back_gets_what_waited() -> None:
    with structlog.testing.capture_logs() as lines, hook() as server:
        server.status = 503
        alerts = Alerts(settings(f"hook={server.url('s3cretpath')}", retry_first_s=1, retry_max_s=1))
        async with running(alerts):
            alerts.send(alert(text="one"))
            await until(server.answered.is_set)
            server.status = 200
            await until(lambda: server.got)
            await until(lambda: len(lines) == 2)
    assert [line["event"] for line in lines] == [
        "alert channel fails; it is tried again",
        "alert channel works again",
    ]
    assert "503" in lines[0]["reason"]
    assert "s3cretpath" not in str(lines)


async def test_leaving_flushes_what_waits_and_a_dead_channel_does_not_hold_it_up() -> None:
    with structlog.testing.capture_logs() as lines, hook() as server, black_hole() as silent:
        alerts = Alerts(settings(f"hook={server.url()} dead=json://127.0.0.1:{silent}/x"))
        async with running(alerts):
            for number in range(6):
                alerts.send(alert(text=f"late {number}"))
    assert len(server.got) == 6
    assert lines[-1]["event"] == "alerts were not delivered before the stop"
    assert lines[-1]["alerts"] == 6


async def test_it_can_run_again_after_it_ended() -> None:
    with hook() as server:
        alerts = Alerts(settings(f"hook={server.url()}"))
        async with running(alerts):
            alerts.send(alert(text="one"))
        alerts.send(alert(text="two"))
        async with running(alerts):
            await until(lambda: len(server.got) == 2)


async def test_operators_list_acknowledge_and_test() -> None:
    with hook() as server:
        channels = f"hook={server.url()} dead=json://127.0.0.1:{free_port()}/s3cretpath"
        alerts = Alerts(settings(channels, routes=("warning * -> hook",)))
        async with running(alerts) as host:
            assert set(host.verbs) == {"list", "ack", "test", "status"}
            alerts.send(alert(CRITICAL, "desk.halt", "halted"))
            await until(lambda: server.got)
            (shown,) = (await host.call("list", {}, "ann"))["open"]
            assert (shown["id"], shown["topic"], shown["text"]) == ("1", "desk.halt", "halted")
            content = AlertsPanel(alerts).content(alerts.now())
            assert content.tables[1].rows[0][2] == "desk.halt"
            done = await host.call("ack", {"id": "1"}, "ann")
            assert (done["actor"], done["topic"]) == ("ann", "desk.halt")
            assert (await host.call("list", {}, "ann"))["open"] == []
            with pytest.raises(UnknownAlert, match="'1'"):
                await host.call("ack", {"id": "1"}, "bob")
            tested = await host.call("test", {}, "ann")
            assert [one["ok"] for one in tested["channels"]] == [True, False]
            assert "s3cretpath" not in str(tested)
            assert server.titles()[-1] == "INFO: alerts.test"
            with pytest.raises(UnknownAlert, match="hook, dead"):
                await host.call("test", {"channel": "pager"}, "ann")
            status = await host.call("status", {}, "ann")
            assert (status["taken"], status["acknowledged"], status["overflowed"]) == (1, 1, 0)


async def test_a_fault_of_ours_does_not_end_all_telling(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Policy.take

    def take_all_but_one(self: Policy, alert: Alert, now: int) -> None:
        if alert.text == "bad":
            raise RuntimeError("no such thing")
        take(self, alert, now)

    monkeypatch.setattr(Policy, "take", take_all_but_one)
    with structlog.testing.capture_logs() as lines, hook() as server:
        alerts = Alerts(settings(f"hook={server.url()}"))
        async with running(alerts) as host:
            alerts.send(alert(text="bad"))
            await until(lambda: alerts.faults)
            alerts.send(alert(text="good"))
            await until(lambda: server.got)
            assert (await host.call("status", {}, "ann"))["last_fault"] == "RuntimeError: no such thing"
    assert lines[0]["event"] == "a turn of the alerts thread failed"


# --- the queue ----------------------------------------------------------------------------------------------


async def test_a_full_queue_drops_the_oldest_of_the_least_severe() -> None:
    inbox = Inbox(4)
    for severity, text in ((INFO, "1"), (CRITICAL, "2"), (INFO, "3"), (WARNING, "4"), (WARNING, "5"), (CRITICAL, "6")):
        inbox.put(alert(severity, text=text))
    assert inbox.dropped == 2
    for severity, text in ((CRITICAL, "7"), (CRITICAL, "8"), (INFO, "9"), (CRITICAL, "10")):
        inbox.put(alert(severity, text=text))
    assert [one.text for one in iter(inbox.take, None)] == ["6", "7", "8", "10"]
    assert inbox.dropped == 6
    assert len(inbox) == 0


async def test_a_queue_that_many_use_at_once_loses_count_of_nothing() -> None:
    inbox = Inbox(500)
    over = threading.Event()
    taken = 0

    def put() -> None:
        for number in range(20_000):
            inbox.put(alert((INFO, WARNING, CRITICAL)[number % 3]))

    def take() -> None:
        nonlocal taken
        while not over.is_set() or len(inbox):
            taken += inbox.take() is not None

    writers = [threading.Thread(target=put) for _ in range(2)]
    reader = threading.Thread(target=take)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    reader.join()
    assert taken + inbox.dropped == 40_000


async def test_a_courier_that_hangs_says_so_instead_of_piling_up() -> None:
    ended: list[tuple[int, str | None]] = []
    message = Message(Kind.ALERT, WARNING, "feed.lag", "late", 0, 1)
    with hook() as server:
        server.delay_s = 0.3
        outlet = Outlet("hook", server.url(), 5.0, ZoneInfo("UTC"))
        courier = Courier(outlet, lambda delivery, reason: ended.append((delivery.id, reason)))
        courier.start()
        courier.carry(Delivery(1, "hook", message, 1))
        courier.carry(Delivery(2, "hook", message, 1))
        await until(lambda: len(ended) == 2)
        courier.stop()
    assert ended == [(2, "still held up by an earlier message"), (1, None)]


async def test_sending_to_a_full_queue_neither_waits_nor_raises() -> None:
    alerts = Alerts(settings("hook=json://127.0.0.1:1/x", queue=10))
    for _ in range(1_000):
        alerts.send(alert())
    assert alerts.queued == 10
    assert alerts.overflowed == 990
