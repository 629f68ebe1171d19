"""The page is whole HTML that needs nothing from outside, and nothing in it can break out of its place."""

import re
from html.parser import HTMLParser

import pytest

from arbitrade_core.replay.job import FeeStep
from arbitrade_core.replay.report import page
from arbitrade_core.replay.report.figures import report, sweep_report
from arbitrade_core.replay.results import Coverage
from arbitrade_core.replay.searched import HeatMap, SweepResult, Variant
from tests.replay.report import samples

VOID = {"meta", "br", "hr", "img", "link", "input"}
SVG_SINGLE = {"line", "rect", "circle", "polyline", "polygon"}


class Checked(HTMLParser):
    """Holds tags against each other."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SVG_SINGLE, tag
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def checked(html: str) -> Checked:
    found = Checked()
    found.feed(html)
    found.close()
    assert found.open == []
    return found


def pages() -> dict[str, str]:
    job, sweep_job = samples.job(), samples.sweep_job(samples.SPACE, hours=8)
    nothing = Coverage(samples.coverage().wanted, (), (), (), ())
    one = samples.desk(plans=[samples.plan(1)], lives=[samples.life(1, None)])
    return {
        "whole": page.render(report(job, samples.replay())),
        "idle": page.render(report(job, samples.result([samples.desk()]))),
        "unrecorded": page.render(report(job, samples.result([samples.desk()], nothing, samples.market(0)))),
        "one plan": page.render(report(job, samples.result([one]))),
        "sweep": page.render(sweep_report(sweep_job, samples.sweep())),
        "sweep that found": page.render(sweep_report(sweep_job, samples.sweep(merit=0.3))),
        "sweep of nothing": page.render(sweep_report(sweep_job, samples.judged([], [], samples.coverage(), 0))),
    }


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


NAMES = ("whole", "idle", "unrecorded", "one plan", "sweep", "sweep that found", "sweep of nothing")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_whole_and_stands_alone(made: dict[str, str], name: str) -> None:
    html = made[name]
    found = checked(html)
    assert not {"script", "link", "img", "iframe", "object", "form"} & {tag for tag, _ in found.seen}
    for tag, attributes in found.seen:
        assert not {"src", "href", "srcset", "action", "xlink:href"} & set(attributes), tag
        assert not [each for each in attributes if each.startswith("on")], tag
    assert not re.search(r"https?:|//[a-z]|url\(|@import", html)


@pytest.mark.parametrize("name", NAMES)
def test_every_chart_has_a_text_and_its_figures(made: dict[str, str], name: str) -> None:
    html = made[name]
    found = checked(html)
    images = [attributes for tag, attributes in found.seen if tag == "svg"]
    assert all(each.get("role") == "img" and each.get("aria-label") for each in images)
    assert html.count("<desc>") == len(images)
    figures = re.findall(r"<figure>.*?</figure>", html, re.DOTALL)
    for figure in figures:
        assert ("<svg" in figure) is ("<table>" in figure)
    assert not re.search(r'points="[^"]*(nan|inf)', html)
    for tag, attributes in found.seen:
        if tag in SVG_SINGLE:
            assert not {"nan", "inf"} & {value for value in attributes.values() if value}


def test_the_answer_comes_first(made: dict[str, str]) -> None:
    text = " ".join(checked(made["whole"]).text)
    assert text.index("What did it earn?") < text.index("How sure is that?") < text.index("Why not more?")
    assert text.index("Why not more?") < text.index("Over time") < text.index("What this stands on")


HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}"


def test_what_others_named_is_only_text() -> None:
    plans = [
        samples.plan(
            number,
            path=HOSTILE,
            key=HOSTILE,
            strategy=HOSTILE,
            outcome="completed" if number % 2 else HOSTILE,
            pairs=(HOSTILE, "B/C", "C/A"),
        )
        for number in range(1, 4)
    ]
    desk = samples.desk(plans=plans, lives=[samples.life(1, 9, key=HOSTILE, path=HOSTILE)], halted=HOSTILE)
    tier = FeeStep(name=HOSTILE, fees=samples.fees("10", HOSTILE))
    job = samples.job(
        name=HOSTILE, pairs=(HOSTILE,), settings={HOSTILE: HOSTILE}, ladder=(tier,), fees=samples.fees(source=HOSTILE)
    )
    coverage = samples.coverage(4, [(1, 2, HOSTILE)])
    desks = [desk, samples.desk(f"tier {HOSTILE}", plans), samples.desk(f"latency 5 ms {HOSTILE}", plans)]
    html = page.render(report(job, samples.result(desks, coverage), code={HOSTILE: HOSTILE}, notes=[HOSTILE]))
    found = checked(html)
    assert "<script" not in html.lower()
    assert "script" not in {tag for tag, _ in found.seen}
    assert HOSTILE in " ".join(found.text)
    assert "49" not in " ".join(text for text in found.text if "alert(1)" in text)


def test_a_hostile_sweep_is_only_text() -> None:
    variants = [Variant(number, {HOSTILE: str(number), "b": HOSTILE, "c": "1"}) for number in range(3)]
    desks = [samples.desk(str(number), [samples.plan(5)]) for number in range(3)]
    job = samples.sweep_job({HOSTILE: ["1", HOSTILE]}, name=HOSTILE)
    html = page.render(sweep_report(job, samples.judged(variants, desks, samples.coverage(), 2)))
    assert "script" not in {tag for tag, _ in checked(html).seen}


def test_ten_thousand_plans_are_one_small_file() -> None:
    html = page.render(report(samples.job(hours=48), samples.replay(10_000, hours=48, keys=2_000)))
    assert len(html.encode()) < 2_000_000
    assert "9,900 more plans left out here" in html
    assert "the CSV files have all" in html
    checked(html)


def test_a_thousand_variants_and_wide_maps_are_one_small_file() -> None:
    seen = samples.sweep(plans=3)
    variants = [Variant(number, {"paper.latency_ms": str(number)}) for number in range(1_000)]
    desks = [seen.desks[number % len(seen.desks)] for number in range(1_000)]
    xs = tuple(map(str, range(60)))
    wide = HeatMap("a", "b", xs, xs, tuple(tuple(samples.dec(1) for _ in xs) for _ in xs))
    result = SweepResult(
        **{
            **{name: getattr(seen, name) for name in seen.__struct_fields__},
            "variants": tuple(variants),
            "desks": tuple(desks),
            "scores": tuple(desk.trading_valued for desk in desks),
            "ranking": tuple(range(1_000)),
            "heat": (*seen.heat, wide),
        }
    )
    html = page.render(sweep_report(samples.sweep_job({"paper.latency_ms": xs}), result))
    assert len(html.encode()) < 2_000_000
    assert "900 more variants left out here" in html
    assert "1 more maps left out here" in html


def test_equal_reports_give_equal_bytes(made: dict[str, str]) -> None:
    assert page.render(report(samples.job(), samples.replay())) == made["whole"]


def test_light_dark_phone_and_paper_are_thought_of(made: dict[str, str]) -> None:
    for each in ("prefers-color-scheme: dark", "max-width: 44rem", "@media print", 'name="viewport"'):
        assert each in made["whole"]
