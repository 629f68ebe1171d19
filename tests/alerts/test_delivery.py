"""One message to one channel: real servers, dead ends, and no word of the URL anywhere."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote, quote_plus
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_alerts.messages import Kind, Message
from arbitrade_alerts.redact import HIDDEN, Redactor, guarded
from arbitrade_alerts.sender import DeliveryError, Outlet
from arbitrade_core.domain import Severity
from tests.alerts.servers import black_hole, free_port, hook, mail_server

CANARY = "c4n4ryS3cretxyzzy"
BERLIN = ZoneInfo("Europe/Berlin")
HALTED = Message(Kind.ALERT, Severity.CRITICAL, "desk.halt", "halted: <b>5 % & more</b>", 1_794_312_000 * 10**9, 1, "7")


def outlet(url: str, timeout_s: float = 5.0) -> Outlet:
    return Outlet("phone", url, timeout_s, BERLIN)


def reason(url: str, timeout_s: float = 5.0) -> str:
    with pytest.raises(DeliveryError) as caught:
        outlet(url, timeout_s).send(HALTED)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.fixture
def everything_logged() -> Iterator[list[str]]:
    """Every log record of the process, at every level."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.name} {self.format(record)} {record.args} {record.exc_info}")

    root, handler = logging.getLogger(), Keep()
    loggers = [root, logging.getLogger("apprise"), logging.getLogger("urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(1)
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def test_a_web_hook_gets_title_text_time_and_id() -> None:
    with hook() as server:
        outlet(server.url()).send(HALTED)
    (message,) = server.got
    assert message["title"] == "CRITICAL: desk.halt"
    assert message["message"].splitlines() == [
        "halted: <b>5 % & more</b>",
        "2026-11-10 13:00:00 CET",
        "acknowledge: arbitrade alerts ack 7",
    ]
    assert message["type"] == "failure"


@pytest.mark.parametrize(
    ("service", "url", "path", "field"),
    [
        ("telegram.NotifyTelegram", f"tgram://123456789:{CANARY}abcdefghijklmnopqr/987654", "/bot123456789:", "text"),
        ("discord.NotifyDiscord", f"discord://123456789012345678/{CANARY}", "/bot/123456789012345678/", "content"),
    ],
)
def test_telegram_and_discord_get_what_their_interfaces_want(
    *, service: str, url: str, path: str, field: str, monkeypatch: pytest.MonkeyPatch, everything_logged: list[str]
) -> None:
    with hook() as server:
        monkeypatch.setattr(f"apprise.plugins.{service}.notify_url", f"http://127.0.0.1:{server.server_port}/bot")
        outlet(url).send(HALTED)
        server.status = 401
        assert CANARY not in reason(url)
    (message,) = server.got
    assert "desk.halt" in str(message)
    assert "arbitrade alerts ack 7" in message[field]
    assert server.paths[0].startswith(path)
    assert CANARY in server.paths[0], "the token is where it belongs"
    assert [line for line in everything_logged if CANARY.lower() in line.lower()] == []


def test_a_mail_arrives() -> None:
    with mail_server() as (mailbox, url):
        outlet(url).send(HALTED)
    (mail,) = mailbox.mails
    assert mail["Subject"] == "CRITICAL: desk.halt"
    assert mail["To"] == "ann@desk.example"
    body = mail.get_body(("plain", "html"))
    assert body is not None
    assert "5 %" in body.get_content()


def test_dead_ends_say_why_without_the_url(everything_logged: list[str]) -> None:
    paths = f"{CANARY}/x?:token={CANARY}&-key={CANARY}"
    reasons = {}
    with hook() as server, black_hole() as silent:
        server.status = 500
        reasons["500"] = reason(server.url(paths))
        server.status = 404
        reasons["404"] = reason(server.url(paths))
        server.status = 302
        reasons["a redirect is not followed"] = reason(server.url(paths))
        server.status, server.delay_s = 200, 1.0
        reasons["slow"] = reason(server.url(paths), timeout_s=0.2)
        server.answered.wait(5)
        reasons["silent"] = reason(f"json://user:{CANARY}@127.0.0.1:{silent}/{paths}", timeout_s=0.2)
        reasons["silent mail"] = reason(
            f"mailto://user:{CANARY}@127.0.0.1:{silent}?to={CANARY}@b.example&from=x@y.example", timeout_s=0.2
        )
    reasons["refused"] = reason(f"json://user:{CANARY}@127.0.0.1:{free_port()}/{paths}")
    reasons["no such service"] = reason(f"nosuch://{CANARY}")
    assert "500" in reasons["500"]
    assert "404" in reasons["404"]
    assert "302" in reasons["a redirect is not followed"]
    assert "127.0.0.1" in reasons["refused"]
    said = [*reasons.values(), *everything_logged]
    assert [text for text in said if CANARY.lower() in text.lower()] == []
    assert any("urllib3" in line and HIDDEN in line for line in everything_logged), "urllib3 was listened to"
    assert any(line.startswith("apprise") and HIDDEN in line for line in everything_logged), "apprise was too"


@pytest.mark.parametrize(
    "url",
    [
        f"tgram://123456789:{CANARY}AAFabcdefghijklmnopqr/{CANARY}/?format=html",
        f"discord://123456789012345678/{CANARY}_abc-DEF",
        f"mailtos://{CANARY}:{CANARY}%26p%20w@mail.example?smtp=smtp.mail.example&to={CANARY}@b.example",
        f"slack://T1JJ3T3L2/A1BRTD4JD/{CANARY}/#{CANARY}",
        f"jsons://u:{CANARY}@hook.example/{CANARY}?+X-Key={CANARY}",
    ],
)
def test_no_service_logs_its_url_when_it_is_opened(url: str, everything_logged: list[str]) -> None:
    found = outlet(url)
    assert found.service
    assert CANARY not in repr(found)
    assert [line for line in everything_logged if CANARY.lower() in line.lower()] == []


def test_an_error_of_a_service_is_a_failure_without_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_(*args: object, **kwargs: object) -> None:
        raise RuntimeError(f"cannot reach json://user:pw@host/{CANARY} with {CANARY}")

    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.send", raise_)
    assert reason(f"json://127.0.0.1:1/{CANARY}") == f"RuntimeError: cannot reach json://{HIDDEN} with {HIDDEN}"


def test_a_time_that_cannot_be_is_a_failure_and_not_the_end() -> None:
    with pytest.raises(DeliveryError, match=r"OverflowError|ValueError"):
        outlet("json://127.0.0.1:1/x").send(replace(HALTED, at_ns=1 << 80))


# --- the redactor alone -------------------------------------------------------------------------------------


def test_parts_of_a_url_are_hidden_however_they_are_written() -> None:
    redact = Redactor(["mailtos://ann:p%26ss%20w0rd@smtp.example:587/?to=x&mode=starttls&pw=ab"])
    text = (
        "login p&ss w0rd, p%26ss%20w0rd, p%26ss+w0rd at smtp.example:587 with starttls: ab, cabin, YW5uOnAmc3MgdzByZA=="
    )
    assert redact(text) == (
        f"login {HIDDEN}, {HIDDEN}, {HIDDEN} at smtp.example:587 with starttls: {HIDDEN}, cabin, {HIDDEN}"
    )


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40))
def test_a_password_is_hidden_in_every_writing(password: str) -> None:
    written = [password, quote(password, safe=""), quote_plus(password), password.lower()]
    redact = Redactor([f"mailtos://ann:{quote(password, safe='')}@smtp.example?to=x"])
    for text in written:
        assert text not in redact(f"535 bad login {text}; bye").removeprefix("535 bad login "), text


def test_a_token_that_looks_like_a_host_is_hidden() -> None:
    redact = Redactor(
        ["slack://token.abc/x", "json://u:hunter2.abc@hook.example:8080/secret.abc", "mqtt://u:1234@h:99"]
    )
    said = "token.abc hunter2.abc hook.example:8080 secret.abc 1234 12345 99"
    assert redact(said) == f"{HIDDEN} {HIDDEN} hook.example:8080 {HIDDEN} {HIDDEN} 12345 99"


def test_any_url_is_hidden_even_one_that_nobody_named() -> None:
    assert Redactor([])("see https://host/bot123/x and more") == f"see https://{HIDDEN} and more"


def test_records_outside_of_the_guard_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("somebody.else")
    with guarded(Redactor([f"json://h/{CANARY}"])) as warnings:
        try:
            raise ValueError(CANARY)
        except ValueError:
            log.exception("failed with %s", CANARY)
    log.warning("%s is not redacted here", CANARY)
    assert warnings == [f"failed with {HIDDEN} (ValueError: {HIDDEN})"]
    assert [record.getMessage() for record in caplog.records] == [*warnings, f"{CANARY} is not redacted here"]
    assert caplog.text.count(CANARY) == 1
