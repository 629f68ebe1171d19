"""Settings that are wrong are said so, with what is wrong and what to write instead."""

import pytest
from pydantic import ValidationError

from arbitrade_calm.settings import CalmSettings


def test_without_any_setting_it_is_always_open() -> None:
    assert CalmSettings().opening().opens_ns(1_790_000_000_000_000_000) == 1_790_000_000_000_000_000


def test_every_setting_is_described() -> None:
    for name, field in CalmSettings.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"hours": "mon-fry 08:00-22:00"}, "'fry' in 'mon-fry 08:00-22:00' is no day"),
        ({"time_zone": "Europe/Berln"}, "did you mean 'Europe/Berlin'?"),
        ({"time_zone": "/etc/passwd"}, "no time zone has this name"),
        ({"max_volatility_bps": 0}, "greater than 0"),
        ({"half_life_s": float("nan")}, "half_life_s"),
        ({"min_seen_s": -1}, "min_seen_s"),
        ({"hour": "mon 08:00-22:00"}, "hour"),
    ],
)
def test_what_is_wrong_is_said(values: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CalmSettings.model_validate(values)
    assert says in str(caught.value)
