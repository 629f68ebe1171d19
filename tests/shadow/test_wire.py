"""Messages through a pipe that cuts them anywhere, and streams that are none of ours."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_core.composition import Past
from arbitrade_core.domain import Fee, Fill, LedgerRow, Leg, Order, Side
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import Frame, Tick
from arbitrade_core.plugins import State, Toggle
from arbitrade_core.recovery import HighWater, PastOrder, PastPlan, Recovered
from arbitrade_core.shadow.wire import (
    SCHEMA,
    Connected,
    Hello,
    Said,
    Started,
    Transmitted,
    Unframer,
    Wrote,
    framed,
    framed_batch,
    read_answer,
    read_batch,
    read_greeting,
    read_hello,
)

SAID: tuple[Said, ...] = (
    Started(5),
    Connected(1, "ws://127.0.0.1:1/v2"),
    Frame(1, b"x" * 300, 6),
    Transmitted(b"{}"),
    Wrote("desk", 7),
    Tick(8),
)


@given(st.lists(st.integers(1, 400), min_size=1))
def test_messages_come_whole_however_the_pipe_cuts_them(cuts: list[int]) -> None:
    first, seq = framed_batch(1, SAID)
    second, after = framed_batch(seq, SAID)
    assert (seq, after) == (3, 5)
    data, unframer, read, at = first + second, Unframer(), [], 0
    for cut in [*cuts, len(first + second)]:
        read += list(unframer.feed(data[at : at + cut]))
        at += cut
    assert [list(read_batch(body, seq)) for body, seq in zip(read, (1, 3), strict=True)] == [list(SAID)] * 2


def test_what_is_missing_is_an_error_in_words() -> None:
    data, _ = framed_batch(4, SAID)
    with pytest.raises(ProtocolError, match="input 4 came where 3 was due: there is a gap"):
        list(read_batch(data[4:], 3))


def test_a_stream_of_text_is_no_stream_of_messages() -> None:
    with pytest.raises(ProtocolError, match="begins no message"):
        list(Unframer().feed(b"Traceback (most recent call last):\n"))


@given(st.binary(max_size=50))
def test_a_body_of_garbage_is_an_error_in_words(body: bytes) -> None:
    for read in (lambda data: list(read_batch(data, 1)), read_answer):
        try:
            read(body)
        except ProtocolError as error:
            assert "is no message of schema" in str(error)


def test_where_the_bot_starts_from_comes_whole() -> None:
    order = Order("o", "p", "desk", Leg(-1, -1, "BTC/USD", Side.BUY, "USD", "BTC"), D("0.10"), D(5), Fee(D("0.0040")))
    fill = Fill("o", "x", D("0.10"), D(5), D("0.5"), D("0.002"), "USD", (LedgerRow("USD", D("-0.5"), D("0.002")),))
    recovered = Recovered(
        accounts=[("USD", "cash", D("10000.00000001"))],
        interrupted=[("end", {"plan": "p", "pnl": {"USD": "1"}})],
        past=[PastPlan("+BTC/USD", 1, 2, "completed", D("1.50"))],
        orders=[PastOrder(order, "filled", (fill,), 3)],
        high_water=HighWater(D(7), "USD"),
        halted="stuck",
    )
    toggles = {"odd": Toggle(State.QUARANTINED, "engine", "raised", ("odd_check",))}
    past = Past({"desk": recovered}, {"desk": 9, "system": 4}, toggles)
    sent = Hello(SCHEMA, 1, 5, "desk", "system", None, past, {"core": True, "odd": False})
    (body,) = Unframer().feed(framed(sent))
    assert read_hello(body) == sent
    assert read_greeting(body).schema == SCHEMA
