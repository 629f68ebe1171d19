"""What is told to whom and when, on simulated time. ARBITRADE_TEST_RUNS is the number of random histories."""

import os
from datetime import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_alerts.incidents import Escalation
from arbitrade_alerts.messages import Delivery, Kind
from arbitrade_alerts.policy import DAILY, UNDELIVERED
from arbitrade_alerts.quiet import Quiet, QuietHours
from arbitrade_core.domain import Alert, Severity
from tests.alerts.policies import MINUTE, NOON, UTC, S, Town, terms

RUNS = int(os.environ.get("ARBITRADE_TEST_RUNS", "200"))
NIGHT = Quiet(QuietHours(time(22), time(7), UTC), Severity.CRITICAL)
TEN_AT_NIGHT = NOON + 10 * 60 * MINUTE


def held(town: Town) -> None:
    """No alert is lost from the books."""
    for channel in town.policy.state().channels:
        assert channel.taken == channel.delivered + channel.waiting + channel.dropped, channel


# --- routes -------------------------------------------------------------------------------------------------


def test_rules_choose_channels_by_severity_and_topic() -> None:
    rules = ("critical * -> phone", "warning feed.* -> chat", "warning feed.rejected market.* -> chat mail")
    town = Town(terms(channels=("phone", "chat", "mail"), rules=rules))
    town.alert(Severity.CRITICAL, "desk.halt")
    town.alert(Severity.WARNING, "feed.rejected")
    town.alert(Severity.INFO, "feed.rejected")
    found = {name: [message.topic for message in town.arrived(name)] for name in ("phone", "chat", "mail")}
    assert found == {"phone": ["desk.halt"], "chat": ["feed.rejected"], "mail": ["feed.rejected"]}
    assert town.policy.state().unrouted == 1


# --- the same again -----------------------------------------------------------------------------------------


def test_the_same_again_is_counted_and_told_once_a_window() -> None:
    town = Town(terms(same_s=300))
    for _ in range(50):
        town.alert()
    assert [message.kind for message in town.arrived()] == [Kind.ALERT]
    town.pass_(301)
    (repeats,) = town.arrived(kind=Kind.REPEATS)
    assert repeats.weight == 49
    assert repeats.text == "repeated 49 times in 5 min: late"
    town.pass_(3600)
    assert len(town.arrived()) == 2
    town.alert()
    assert len(town.arrived(kind=Kind.ALERT)) == 2
    held(town)


def test_what_differs_in_severity_text_or_key_is_not_the_same() -> None:
    town = Town(terms(same_s=300))
    town.alert(text="late")
    town.alert(text="later")
    town.alert(Severity.CRITICAL)
    assert len(town.arrived()) == 3


def test_a_key_makes_alerts_of_different_texts_the_same() -> None:
    town = Town(terms(same_s=300))
    for number in range(5):
        town.policy.take(Alert(Severity.WARNING, "feed.lag", f"late by {number} ms", town.now), town.now, key="lag")
    town.pass_(301)
    assert [(one.kind, one.weight) for one in town.arrived()] == [(Kind.ALERT, 1), (Kind.REPEATS, 4)]
    held(town)


def test_a_storm_of_one_alert_is_a_message_a_window() -> None:
    town = Town(terms(same_s=300, messages=10, window_s=300))
    for _ in range(10_000):
        town.alert()
        town.now += 6_000_000
    town.pass_(300)
    assert [(one.kind, one.weight) for one in town.arrived()] == [(Kind.ALERT, 1), (Kind.REPEATS, 9_999)]
    held(town)


# --- limit and digest ---------------------------------------------------------------------------------------


def test_what_is_over_the_limit_comes_as_one_digest_when_the_window_ends() -> None:
    town = Town(terms(messages=4, window_s=60))
    for number in range(100):
        town.alert(text=f"late {number}", topic=f"feed.{number % 3}")
    assert len(town.arrived()) == 3, "a quarter is kept for critical alerts"
    town.alert(Severity.CRITICAL, "desk.halt", "halted")
    assert town.arrived()[-1].topic == "desk.halt"
    town.pass_(59)
    assert len(town.arrived()) == 4
    town.pass_(2)
    (digest,) = town.arrived(kind=Kind.DIGEST)
    assert digest.weight == 97
    assert "warning feed.0, last: late 99" in digest.text
    held(town)


def test_a_digest_of_many_topics_stays_short() -> None:
    town = Town(terms(messages=1))
    for number in range(500):
        town.alert(topic=f"topic.{number}", text="x" * 5_000)
    town.pass_(61)
    (digest,) = town.arrived(kind=Kind.DIGEST)
    assert len(digest.text) < 4_000
    assert "479 more of 479 other topics" in digest.text


# --- quiet hours --------------------------------------------------------------------------------------------


def test_quiet_hours_hold_all_but_the_critical_and_end_in_one_digest() -> None:
    town = Town(terms(quiet=NIGHT), now=TEN_AT_NIGHT)
    town.alert(text="one")
    town.alert(text="two")
    town.alert(Severity.CRITICAL, "desk.halt", "halted")
    town.pass_(8.9 * 3600)
    assert [message.topic for message in town.arrived()] == ["desk.halt"]
    town.pass_(0.2 * 3600)
    (digest,) = town.arrived(kind=Kind.DIGEST)
    assert digest.weight == 2
    assert town.handed[-1].at_ns == TEN_AT_NIGHT + 9 * 60 * MINUTE
    held(town)


def test_a_message_that_waits_when_quiet_hours_begin_waits_for_their_end() -> None:
    town = Town(terms(quiet=NIGHT), now=TEN_AT_NIGHT - 5 * S)
    down = True
    town.works = lambda _: not down
    town.alert()
    down = False
    town.now += 10 * S
    town.pass_(3600)
    assert town.arrived() == []
    town.pass_(9 * 3600)
    assert [message.kind for message in town.arrived()] == [Kind.DIGEST]
    held(town)


def test_a_summary_that_is_due_in_quiet_hours_waits_for_their_end() -> None:
    town = Town(terms(quiet=NIGHT, summary_at=time(23)), now=TEN_AT_NIGHT)
    town.pass_(8 * 3600)
    assert town.arrived() == []
    town.pass_(2 * 3600)
    assert [message.kind for message in town.arrived()] == [Kind.SUMMARY]
    assert town.handed[-1].at_ns == TEN_AT_NIGHT + 9 * 60 * MINUTE


# --- failing channels ---------------------------------------------------------------------------------------


def test_a_failing_channel_is_tried_again_with_growing_pauses() -> None:
    town = Town(terms())
    town.works = lambda delivery: delivery.attempt > 4
    town.alert()
    town.pass_(60)
    at_s = [(one.at_ns - NOON) / S for one in town.handed]
    assert at_s == [0, 1.5, 4.5, 10.5, 22.5]
    assert len(town.arrived()) == 1
    held(town)


def test_what_is_given_up_is_told_on_another_channel() -> None:
    town = Town(terms(channels=("chat", "mail"), rules=("warning * -> chat",)))
    town.works = lambda delivery: delivery.channel != "chat"
    town.alert(text="nobody hears this")
    town.pass_(1000)
    (notice,) = town.arrived("mail")
    assert notice.topic == UNDELIVERED
    assert "chat" in notice.text
    assert "nobody hears this" in notice.text
    assert town.policy.state().channels[0].dropped == 1
    assert len(town.lost) == 1
    held(town)


def test_an_attempt_that_never_ends_counts_as_failed_and_its_late_end_does_not_count() -> None:
    town = Town(terms())
    hanging: list[Delivery] = []
    town.works = lambda delivery: True if delivery.attempt > 2 else hanging.append(delivery)
    town.alert()
    town.pass_(35)
    assert [one.attempt for one in hanging] == [1, 2], "the first was given up after 30 s, the second is under way"
    assert not town.policy.delivered(hanging[0], town.now)
    assert town.policy.failed(hanging[0], "refused", town.now) is None
    assert town.policy.under_way == 1
    town.pass_(60)
    assert len(town.arrived()) == 1
    held(town)


def test_the_critical_goes_first_when_a_channel_comes_back() -> None:
    town = Town(terms())
    down = True
    town.works = lambda _: not down
    town.alert(text="one")
    town.alert(text="two")
    town.alert(Severity.CRITICAL, "desk.halt", "halted")
    down = False
    town.pass_(60)
    assert [message.text for message in town.arrived()] == ["halted", "one", "two"]


# --- acknowledgement ----------------------------------------------------------------------------------------


ESCALATION = Escalation(("phone",), 10 * MINUTE, 3)


def test_a_critical_alert_is_escalated_until_somebody_acknowledges_it() -> None:
    town = Town(terms(channels=("chat", "phone"), rules=("info * -> chat",), escalation=ESCALATION))
    town.alert(Severity.CRITICAL, "desk.halt", "halted")
    (incident,) = town.policy.open()
    assert town.arrived()[0].id == incident.id == "1"
    town.pass_(21 * 60)
    first, second = town.arrived("phone")
    assert first.text == "for 10 min (1 of 3): halted"
    assert second.text == "for 20 min (2 of 3): halted"
    done = town.policy.acknowledge("1", "ann", town.now)
    assert done is not None
    assert done.actor == "ann"
    town.pass_(3600)
    assert len(town.arrived("phone")) == 2
    assert town.policy.acknowledge("1", "bob", town.now) is None
    assert town.policy.state().acknowledged == 1


def test_escalation_ends_after_its_times_and_warnings_are_not_escalated() -> None:
    town = Town(terms(channels=("chat", "phone"), rules=("info * -> chat",), escalation=ESCALATION))
    town.alert(Severity.WARNING)
    town.alert(Severity.CRITICAL, "desk.halt", "halted")
    town.pass_(24 * 3600)
    assert len(town.arrived("phone")) == 3
    assert len(town.policy.open()) == 1, "it stays open"


# --- summary ------------------------------------------------------------------------------------------------


def test_the_daily_summary_holds_what_came_for_it_and_the_days_counts() -> None:
    rules = ("warning * -> chat", "info summary.* -> mail")
    town = Town(terms(channels=("chat", "mail"), rules=rules, summary_at=time(18)))
    town.alert(Severity.INFO, DAILY, "trading P&L 12.34 USD")
    for number in range(3):
        town.alert(text=f"late {number}")
    assert town.arrived("mail") == []
    town.pass_(6 * 3600)
    (summary,) = town.arrived("mail")
    assert "trading P&L 12.34 USD" in summary.text
    assert "3 warning" in summary.text
    assert town.arrived("chat", Kind.SUMMARY) == []
    town.pass_(24 * 3600)
    assert "none" in town.arrived("mail")[1].text, "a day without alerts is told as well"
    held(town)


def test_without_a_time_a_summary_is_told_at_once_and_passes_the_limit() -> None:
    town = Town(terms(messages=1))
    town.alert(text="uses up the limit")
    town.alert(Severity.INFO, DAILY, "trading P&L 12.34 USD")
    assert [message.kind for message in town.arrived()] == [Kind.ALERT, Kind.SUMMARY]


# --- the end ------------------------------------------------------------------------------------------------


def test_at_the_stop_what_waits_for_its_time_is_told() -> None:
    town = Town(terms(messages=2, same_s=300))
    for number in range(10):
        town.alert(text=f"late {number}")
    town.alert(text="late 0")
    town.policy.hurry(town.now)
    town.settle()
    assert town.arrived()[-1].kind is Kind.DIGEST
    state = town.policy.state().channels[0]
    assert (state.taken, state.delivered, state.waiting) == (11, 11, 0)


# --- whatever happens ---------------------------------------------------------------------------------------

SEVERITIES = st.sampled_from(list(Severity))
TOPICS = st.sampled_from(["feed.lag", "feed.rejected", "market.quarantine", "desk.halt", "summary.other"])
STEPS = st.one_of(
    st.tuples(st.just("alert"), SEVERITIES, TOPICS, st.integers(0, 5)),
    st.tuples(st.just("flood"), SEVERITIES, TOPICS, st.integers(1, 40)),
    st.tuples(st.just("pass"), st.integers(1, 20_000)),
    st.tuples(st.just("ack"), st.integers(1, 20)),
)
OUTCOMES = st.lists(st.sampled_from([True, True, True, False, None]), min_size=1, max_size=12)


@settings(max_examples=RUNS, deadline=None)
@given(
    steps=st.lists(STEPS, max_size=60),
    outcomes=OUTCOMES,
    messages=st.integers(1, 9),
    window_s=st.integers(1, 900),
    same_s=st.sampled_from([0, 30, 600]),
    quiet=st.sampled_from([None, NIGHT, Quiet(QuietHours(time(11), time(13, 30), UTC), None)]),
    summary_at=st.sampled_from([None, time(18)]),
)
def test_limits_quiet_hours_and_books_hold_whatever_happens(
    *,
    steps: list[tuple[object, ...]],
    outcomes: list[bool | None],
    messages: int,
    window_s: int,
    same_s: int,
    quiet: Quiet | None,
    summary_at: time | None,
) -> None:
    town = Town(
        terms(
            channels=("chat", "mail"),
            rules=("info * -> chat", "warning feed.* -> mail"),
            messages=messages,
            window_s=window_s,
            same_s=same_s,
            quiet=quiet,
            escalation=Escalation(("mail",), 5 * MINUTE, 2),
            summary_at=summary_at,
        )
    )
    attempts = iter(range(10**9))
    town.works = lambda _: outcomes[next(attempts) % len(outcomes)]
    for step in steps:
        match step:
            case ("alert", Severity() as severity, str(topic), int(text)):
                town.alert(severity, topic, f"text {text}")
            case ("flood", Severity() as severity, str(topic), int(many)):
                for number in range(many):
                    town.alert(severity, topic, f"flood {number}")
            case ("pass", int(seconds)):
                town.pass_(seconds)
            case ("ack", int(id_)):
                town.policy.acknowledge(str(id_), "ann", town.now)
        held(town)
    town.pass_(3600)
    held(town)
    for channel in ("chat", "mail"):
        arrived = [one for one in town.handed if one.arrived and one.channel == channel]
        counted = [one.at_ns for one in arrived if one.message.kind not in (Kind.DIGEST, Kind.SUMMARY)]
        digests = [one.at_ns for one in arrived if one.message.kind is Kind.DIGEST]
        for times, most in ((counted, messages), (digests, 1)):
            for first, beyond in zip(times, times[most:], strict=False):
                assert beyond - first >= window_s * S, f"more than {most} within {window_s} s"
    if quiet is not None:
        for one in town.handed:
            assert quiet.until(one.message.severity, one.at_ns) is None


def test_books_hold_when_everything_is_delivered_in_the_end() -> None:
    town = Town(terms(same_s=60))
    for number in range(1_000):
        town.alert(text=f"late {number % 7}")
        town.now += S
    town.pass_(3600)
    (channel,) = town.policy.state().channels
    assert (channel.taken, channel.delivered, channel.waiting, channel.dropped) == (1_000, 1_000, 0, 0)


def test_memory_stays_bounded_with_endless_topics_and_texts() -> None:
    town = Town(terms(same_s=600))
    for number in range(3_000):
        town.alert(topic=f"topic.{number}", text=f"{number} " + "x" * 100_000)
    (channel,) = town.policy._channels.values()
    assert len(channel._tally.lines) <= 1_001
    assert all(len(same.alert.text) <= 2_000 for same in town.policy._same.values())
    town.pass_(61)
    (digest,) = town.arrived(kind=Kind.DIGEST)
    assert digest.weight == 2_997
    held(town)


@pytest.mark.parametrize("works", [True, False])
def test_memory_stays_bounded_in_a_storm_of_different_alerts(works: bool) -> None:
    town = Town(terms())
    town.works = lambda _: works
    for number in range(5_000):
        town.alert(text=f"late {number}")
    (channel,) = town.policy._channels.values()
    assert len(channel._queue) <= 4
    assert len(channel._tally.lines) == 1
