"""Inputs as bytes: nothing is lost, nothing else is read."""

from decimal import Decimal
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_core.domain import Fee, FeeCurrency, FeeRole, FeeSnapshot
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import Frame, Input, PairsEnabled, Thresholds
from arbitrade_core.inputs_codec import KINDS, SCHEMA, decode_input, encode_input

NS = st.integers(0, 1 << 62)
TEXT = st.text(max_size=20)
MONEY = st.decimals(allow_nan=False, allow_infinity=False, places=None)
FEES = st.builds(
    FeeSnapshot,
    TEXT,
    TEXT,
    NS,
    st.dictionaries(TEXT, st.builds(Fee, MONEY, st.sampled_from(FeeCurrency), st.sampled_from(FeeRole)), max_size=3),
)
BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "data": st.binary(max_size=300),
    "fees": FEES,
    "symbols": st.none() | st.frozensets(TEXT, max_size=4),
    "assets": st.lists(TEXT, max_size=4).map(tuple),
    "changes": st.dictionaries(TEXT, st.tuples(st.none() | TEXT, st.none() | TEXT), max_size=3),
    **dict.fromkeys(("now", "conn", "seq", "code"), NS),
    **dict.fromkeys(("min_edge_bps", "margin_bps", "min_profit"), MONEY),
}


def _some(of: type[Any]) -> st.SearchStrategy[Any]:
    """Any input of that kind; fields that are not named above are whole numbers or text."""
    fields = msgspec.structs.fields(of)
    return st.builds(of, **{one.name: BY_NAME.get(one.name, NS if one.type is int else TEXT) for one in fields})


@given(st.sampled_from(sorted(KINDS)).flatmap(lambda kind: _some(KINDS[kind])))
def test_every_input_comes_back_as_it_was(event: Input) -> None:
    assert decode_input(encode_input(event)) == event


def test_money_comes_back_to_the_last_digit() -> None:
    read = decode_input(encode_input(Thresholds("desk", Decimal("1.50"), Decimal("-0"), Decimal("1E+3"), 4)))
    assert isinstance(read, Thresholds)
    assert [str(read.min_edge_bps), str(read.margin_bps), str(read.min_profit)] == ["1.50", "-0", "1E+3"]


def test_every_input_of_the_engine_has_a_kind() -> None:
    assert set(KINDS.values()) == set(get_args(Input.__value__))


def test_the_bytes_are_those_of_the_schema() -> None:
    """Whoever changes an input sees here that recordings and shadows are of another schema: raise SCHEMA."""
    shapes = {kind: [one.name for one in msgspec.structs.fields(of)] for kind, of in KINDS.items()}
    assert SCHEMA == 1
    assert shapes == {
        "frame": ["conn", "data", "now"],
        "opened": ["conn", "now"],
        "closed": ["conn", "code", "reason", "now"],
        "tick": ["now"],
        "durable": ["stream", "seq", "now"],
        "journal_lost": ["reason", "now"],
        "journal_back": ["now"],
        "fees": ["desk_id", "fees", "now"],
        "pairs": ["symbols", "now"],
        "start_assets": ["desk_id", "assets", "now"],
        "thresholds": ["desk_id", "min_edge_bps", "margin_bps", "min_profit", "now"],
        "settings_changed": ["version", "actor", "reason", "changes", "now"],
        "halt": ["reason", "actor", "now"],
        "resume": ["actor", "now"],
        "drain": ["now"],
        "plugin_enabled": ["plugin", "version", "actor", "now"],
        "plugin_disabled": ["plugin", "actor", "now"],
        "plugin_faulted": ["plugin", "kind", "name", "reason", "now"],
    }
    assert encode_input(Frame(1, b"{}", 2)) == b"\x94\xa5frame\x01\xc4\x02{}\x02"
    assert encode_input(PairsEnabled(None, 3)) == b"\x93\xa5pairs\xc0\x03"


def test_fields_that_a_later_version_adds_at_the_end_are_left_aside() -> None:
    assert decode_input(b"\x95\xa5frame\x01\xc4\x02{}\x02\xa3new") == Frame(1, b"{}", 2)


@given(st.binary(max_size=60))
def test_other_bytes_are_an_error_in_words(data: bytes) -> None:
    try:
        decode_input(data)
    except ProtocolError as error:
        assert "no engine input of schema" in str(error)


def test_an_unknown_kind_is_an_error_in_words() -> None:
    with pytest.raises(ProtocolError, match="no engine input of schema 1"):
        decode_input(b"\x92\xa5moved\x01")
