"""Settings from the environment: everything wrong is told at once, and no URL ever."""

import pytest
from pydantic import SecretStr, ValidationError

from arbitrade_alerts.settings import AlertsSettings
from arbitrade_core.domain import Severity
from arbitrade_core.errors import SettingsError
from arbitrade_core.settings import load_settings, markdown

CANARY = "c4n4ryT0kenAAHxyzzy"
URL = f"tgram://123456789:{CANARY}abcdefghijklmnopqrs/987654"


def loaded(monkeypatch: pytest.MonkeyPatch, **values: str) -> AlertsSettings:
    for name, value in values.items():
        monkeypatch.setenv(f"ARBITRADE_ALERTS__{name.upper()}", value)
    section = load_settings({"alerts": AlertsSettings}).sections["alerts"]
    assert isinstance(section, AlertsSettings)
    return section


def test_all_of_it_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        channels=f"phone={URL}, mail=mailto://u:p@mail.example?to=a@b.example,c@d.example log=json://localhost/x?a=b",
        routes="critical * -> phone, warning feed.* market.* -> mail log, info summary.* -> *",
        quiet_hours="phone=22:00-07:00,*=20:00-08:00 Europe/Berlin",
        quiet_breaks="never",
        escalate_to="mail",
        summary_at="never",
        max_messages="3",
    )
    assert settings.urls() == {
        "phone": URL,
        "mail": "mailto://u:p@mail.example?to=a@b.example,c@d.example",
        "log": "json://localhost/x?a=b",
    }
    terms = settings.terms()
    assert terms.routes.channels(Severity.WARNING, "market.quarantine") == ("mail", "log")
    assert terms.routes.channels(Severity.INFO, "summary.daily") == ("phone", "mail", "log")
    phone, mail = terms.channels["phone"], terms.channels["mail"]
    assert phone is not None
    assert mail is not None
    assert (phone.hours.zone.key, mail.hours.zone.key) == ("UTC", "Europe/Berlin")
    assert phone.breaks is None
    assert terms.escalation is not None
    assert terms.escalation.channels == ("mail",)
    assert (terms.limit.messages, terms.summary_at) == (3, None)


def test_nothing_set_is_no_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch).urls() == {}


def test_everything_wrong_is_told_at_once_and_without_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(
            monkeypatch,
            channels=f"phone={URL} chat=nosuch://{CANARY}/{CANARY} hook=json://",
            routes="critical * -> phone pager, warn * -> phone",
            time_zone="Mars/Olympus",
            quiet_hours="phone=ten-seven,car=22:00-07:00",
            escalate_to="boss",
            summary_at="noon",
        )
    text = str(caught.value)
    for part in (
        "URL of 'chat'",
        "URL of 'hook'",
        "no channel 'pager'",
        "rule 'warn * -> phone'",
        "'Mars/Olympus'",
        "'ten-seven'",
        "no channel 'car'",
        "no channel 'boss'",
        "'noon'",
        "phone, chat, hook",
    ):
        assert part in text, part
    assert CANARY not in text
    assert text.startswith("alerts settings: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (URL, "must be written `name=service://...`"),
        (f"phone={URL} phone={URL}", "phone is named twice"),
        (f"phone={URL} {URL}", "holds a space"),
        (f"Phone={URL}", "must be written"),
    ],
)
def test_channels_written_wrongly(monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        loaded(monkeypatch, channels=text)
    assert CANARY not in str(caught.value)


def test_no_representation_holds_a_url() -> None:
    settings = AlertsSettings(channels=SecretStr(f"phone={URL}"))
    shown = [
        repr(settings),
        str(settings),
        repr(settings.outlets()),
        settings.model_dump_json(),
        repr(settings.terms()),
    ]
    with pytest.raises(ValidationError) as caught:
        AlertsSettings.model_validate({"channels": f"phone={URL} x=json://", "queue": 0})
    shown += [str(caught.value), repr(caught.value)]
    with pytest.raises(ValidationError) as caught:
        AlertsSettings.model_validate({"channels": f"phone={URL} x=json://"})
    shown += [str(caught.value), repr(caught.value)]
    assert [text for text in shown if CANARY in text] == []


def test_every_setting_is_described() -> None:
    page = markdown({"alerts": AlertsSettings})
    assert "| `ARBITRADE_ALERTS__CHANNELS` | text (secret) |" in page
    for line in page.splitlines():
        if line.startswith("| `ARBITRADE_ALERTS__"):
            assert not line.endswith("|  |"), line
