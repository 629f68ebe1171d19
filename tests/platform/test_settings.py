"""Settings: read from the environment and `.env`, everything wrong told at once, documented as they are."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator

from arbitrade_core.commands.settings import reference
from arbitrade_core.errors import SettingsError
from arbitrade_core.plugins import load_catalogue
from arbitrade_core.settings import CoreSettings, Settings, load_settings, variables, written

Set = Callable[..., None]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Set:
    def put(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


def problems(models: dict[str, type[BaseModel]] | None = None, unknown: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(models or {}, unknown)
    return caught.value.problems


def test_without_any_setting_everything_has_a_default() -> None:
    settings = load_settings({})
    assert settings.core.trading.start_assets == ("USD", "EUR")
    assert settings.core.paper.starting_balances == {"USD": Decimal(10_000)}
    assert settings.core.paper.latency_ms == 20
    assert settings.core.database.database_url is None


def test_values_are_read_as_their_fields_want_them(given: Set) -> None:
    given(
        ARBITRADE_TRADING__START_ASSETS="USD, EUR ,BTC",
        ARBITRADE_TRADING__PAIRS='["ETH/USD", "ETH/BTC"]',
        ARBITRADE_PAPER__STARTING_BALANCES="USD=5000,BTC=0.25",
        ARBITRADE_RISK__RESERVE='{"USD": "12.5"}',
        ARBITRADE_RISK__MAX_DEPEG_BPS="12.5",
        ARBITRADE_LOG__LEVEL="debug",
    )
    core = load_settings({}).core
    assert core.trading.start_assets == ("USD", "EUR", "BTC")
    assert core.trading.pairs == ("ETH/USD", "ETH/BTC")
    assert core.paper.starting_balances == {"USD": Decimal(5000), "BTC": Decimal("0.25")}
    assert core.risk.reserve == {"USD": Decimal("12.5")}
    assert core.risk.max_depeg_bps == Decimal("12.5")
    assert core.log.level == "debug"
    assert CoreSettings() == core


def test_the_environment_goes_before_the_file(given: Set, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# ours\nARBITRADE_PAPER__LATENCY_MS=70\nexport PG_HOST='db'\nARBITRADE_RISK__COOLDOWN_MS=5\nOTHER=1\n"
    )
    given(ARBITRADE_PAPER__LATENCY_MS="80")
    settings = load_settings({})
    core = settings.core
    assert (core.paper.latency_ms, core.risk.cooldown_ms, core.database.pg_host) == (80, 5, "db")
    origins = {variable.name: settings.origin(variable) for variable in settings.variables}
    assert origins["ARBITRADE_PAPER__LATENCY_MS"] == "environment"
    assert origins["ARBITRADE_RISK__COOLDOWN_MS"] == ".env"
    assert origins["ARBITRADE_RISK__MAX_OPEN_PLANS"] == "default"


def test_a_variable_that_is_set_to_nothing_is_not_set(given: Set) -> None:
    given(ARBITRADE_PAPER__LATENCY_MS="", ARBITRADE_NO_SUCH="", PG_PORT="")
    assert load_settings({}).core.paper.latency_ms == 20


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"ARBITRADE_LOG__LEVEL=\xff\xfe\n")
    (line,) = problems()
    assert ".env cannot be read" in line


class Feed(BaseModel):
    depth: Literal[10, 25] = 10
    rate: float = Field(1.0, gt=0)
    token: SecretStr | None = None
    must: int

    @field_validator("token")
    @classmethod
    def _long(cls, token: SecretStr | None) -> SecretStr | None:
        if token and len(token.get_secret_value()) < 20:
            raise ValueError(f"{token.get_secret_value()} is too short")
        return token


def test_everything_wrong_in_core_and_plugins_is_told_at_once(given: Set) -> None:
    given(
        ARBITRADE_RISK__MAX_OPEN_PLANS="many",
        ARBITRADE_RISK__MAX_DEPEG_BPS="NaN",
        ARBITRADE_TRADING__MARGIN_BPS="-1",
        ARBITRADE_RISK__RESERVE="USD=-1",
        ARBITRADE_PAPER__STARTING_BALANCES="5000",
        ARBITRADE_LOG__LEVEL="loud",
        ARBITRADE_RISK__MAX_OPEN_PLAN="3",
        ARBITRADE_FEED__DEPTH="11",
        ARBITRADE_FEED__RATE="0",
        ARBITRADE_FEED__TOKEN="hunter2",
        PG_PORT="70000",
        PG_PASSWORD="swordfish",
    )
    lines = problems({"feed": Feed})
    text = "\n".join(lines)
    assert len(lines) == 12
    for name in (
        "ARBITRADE_RISK__MAX_OPEN_PLANS is 'many' (environment)",
        "ARBITRADE_RISK__MAX_DEPEG_BPS is 'NaN'",
        "ARBITRADE_TRADING__MARGIN_BPS is '-1'",
        "ARBITRADE_RISK__RESERVE is 'USD=-1' (environment) at 'USD'",
        "ARBITRADE_PAPER__STARTING_BALANCES is '5000'",
        "ARBITRADE_LOG__LEVEL is 'loud'",
        "ARBITRADE_RISK__MAX_OPEN_PLAN (environment) is not a setting. Did you mean ARBITRADE_RISK__MAX_OPEN_PLANS?",
        "ARBITRADE_FEED__DEPTH is '11'",
        "ARBITRADE_FEED__RATE is '0'",
        "ARBITRADE_FEED__MUST is not set and has no default. Allowed: a whole number.",
        "PG_PORT is '70000'",
    ):
        assert name in text, name
    assert "Allowed: a whole number, at least 1." in text
    assert "ARBITRADE_FEED__TOKEN is (hidden)" in text
    assert "hunter2" not in text
    assert "swordfish" not in text


def test_database_variables_without_a_host_are_an_error_and_not_ignored(given: Set) -> None:
    given(PG_USER="bot", PG_PASSWORD="swordfish")
    (line,) = problems()
    assert "without PG_HOST PG_PASSWORD, PG_USER would be ignored" in line
    assert "swordfish" not in line
    given(PG_HOST="db")
    database = load_settings({}).core.database
    assert (database.pg_user, database.pg_port) == ("bot", 5432)


def test_sections_of_plugins_that_were_not_imported_are_let_be(given: Set) -> None:
    given(ARBITRADE_STATARB__WINDOW="5", ARBITRADE_STATARBX__WINDOW="5")
    (line,) = problems(unknown=("statarb",))
    assert line.startswith("ARBITRADE_STATARBX__WINDOW (environment) is not a setting.")


def test_a_settings_model_that_fails_in_its_own_way_is_one_more_problem(given: Set) -> None:
    class Odd(BaseModel):
        size: int = 1

        @field_validator("size")
        @classmethod
        def _fail(cls, size: int) -> int:
            raise KeyError(size)

    given(ARBITRADE_ODD__SIZE="3", ARBITRADE_LOG__FORMAT="xml")
    lines = problems({"odd": Odd})
    assert [line.split(" ")[0] for line in lines] == ["ARBITRADE_LOG__FORMAT", "odd"]
    assert "KeyError" in lines[1]


def test_secrets_are_never_written(given: Set) -> None:
    given(DATABASE_URL="postgresql://bot:swordfish@db/x")
    settings = load_settings({})
    assert "swordfish" not in repr(settings.core)
    shown = {variable.name: written(settings.value(variable)) for variable in settings.variables}
    assert shown["DATABASE_URL"] == "(hidden)"


def shipped() -> Settings:
    return load_catalogue().settings()


def test_every_setting_is_described_and_amounts_name_their_currency() -> None:
    for variable in shipped().variables:
        assert variable.field.description, variable.name
    for variable in variables(CoreSettings):
        if variable.name.endswith("_VALUED"):
            assert "valuation asset" in (variable.field.description or ""), variable.name


def test_docs_settings_md_is_what_the_code_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == reference(load_catalogue()), (
        "run `arbitrade settings list --markdown > docs/settings.md`"
    )
