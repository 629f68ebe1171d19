"""The files hold everything, to the last digit."""

import csv as reader
import io
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

from arbitrade_core.money import ZERO, exact
from arbitrade_core.replay.report import csv
from arbitrade_core.replay.report.figures import report, sweep_report
from tests.replay.report import samples


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(reader.DictReader(file))


def total(found: list[dict[str, str]], column: str) -> Decimal:
    with exact():
        return sum((Decimal(row[column]) for row in found if row[column]), ZERO)


def test_sums_are_the_reports_figures_exactly(tmp_path: Path) -> None:
    job, seen = samples.job(), samples.replay(700, keys=300, curves=False)
    found = report(job, seen)
    csv.write(job, found, seen, tmp_path)
    plans = rows(tmp_path / "plans.csv")
    assert len(plans) == 700  # all of them, though the report shows some
    assert total(plans, "profit_valued") == found.headline.trading_valued
    assert total(plans, "fees_valued") == found.headline.fees_valued
    assert total(plans, "filled_valued") == found.headline.filled_valued
    assert total(rows(tmp_path / "cycles.csv"), "profit_valued") == found.headline.trading_valued
    assert total(rows(tmp_path / "lives.csv"), "evaluations") == sum(
        each.evaluations for each in seen.desks["headline"].lives
    )
    worth = rows(tmp_path / "worth.csv")
    assert Decimal(worth[-1]["trading_valued"]) == found.headline.trading_valued
    legs = rows(tmp_path / "legs.csv")
    assert len(legs) == 2_100
    with exact():
        for leg in legs:
            parts = sum((Decimal(leg[part]) for part in ("drift", "depth", "rounding", "fee", "partial")), ZERO)
            assert Decimal(leg["expected"]) - Decimal(leg["realised"]) == parts
    desks = {row["desk"]: row for row in rows(tmp_path / "desks.csv")}
    assert Decimal(desks["unlimited"]["trading_valued"]) == seen.desks["unlimited"].trading_valued
    assert len(desks) == len(seen.desks)


def test_curves_are_those_of_the_report(tmp_path: Path) -> None:
    job, seen = samples.job(), samples.replay()
    found = report(job, seen)
    csv.write(job, found, seen, tmp_path)
    points = [
        row for row in rows(tmp_path / "curve.csv") if (row["curve"], row["executor"]) == ("latency_ms", "as set")
    ]
    assert [Decimal(row["earned_valued"]) for row in points] == [
        point.result.estimate for point in found.latency[0].curve.points
    ]
    assert [row["extrapolated"] for row in points] == ["yes", "no", "no", "no", "no", "no"]


def test_a_sweeps_files_hold_every_variant(tmp_path: Path) -> None:
    job, seen = samples.sweep_job(samples.SPACE, hours=8), samples.sweep()
    csv.write(job, sweep_report(job, seen), seen, tmp_path)
    variants = rows(tmp_path / "variants.csv")
    assert [int(row["variant"]) for row in variants] == list(range(60))
    assert sorted(int(row["place"]) for row in variants) == list(range(1, 61))
    assert variants[3]["paper.latency_ms"] == seen.variants[3].settings["paper.latency_ms"]
    with exact():
        assert total(variants, "trading_valued") == sum((each.trading_valued for each in seen.desks), ZERO)
    assert total(rows(tmp_path / "earned.csv"), "profit_valued") == total(variants, "trading_valued")
    assert total(rows(tmp_path / "folds.csv"), "tested_valued") == seen.forward_valued


def test_an_archive_holds_the_same_and_is_always_the_same(tmp_path: Path) -> None:
    job, seen = samples.job(), samples.replay(50, curves=False)
    found = report(job, seen)
    names = csv.write(job, found, seen, tmp_path / "folder")
    csv.write(job, found, seen, tmp_path / "one.zip")
    csv.write(job, found, seen, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == names
        for name in names:
            assert archive.read(name) == (tmp_path / "folder" / name).read_bytes()


def test_nothing_recorded_gives_headers_alone(tmp_path: Path) -> None:
    job, seen = samples.job(), samples.result([samples.desk()])
    csv.write(job, report(job, seen), seen, tmp_path)
    assert rows(tmp_path / "plans.csv") == []
    assert (tmp_path / "plans.csv").read_text(encoding="utf-8").startswith("id,strategy,")


def test_a_name_is_no_formula_and_a_loss_is_a_number() -> None:
    text = csv.text((("a", "b", "c"), [("=HYPERLINK()", Decimal("-1.50"), 'one, "two"\nthree')]))
    (row,) = reader.DictReader(io.StringIO(text, newline=""))
    assert row == {"a": "'=HYPERLINK()", "b": "-1.5", "c": 'one, "two"\nthree'}


def test_tiny_and_huge_amounts_are_written_out() -> None:
    assert csv.text((("a",), [(Decimal("1E-18"),), (Decimal("1E+9"),), (None,)])) == (
        "a\r\n0.000000000000000001\r\n1000000000\r\n\r\n"
    ).replace("\r\n\r\n", '\r\n""\r\n')


def test_a_report_of_another_kind_is_refused(tmp_path: Path) -> None:
    job, seen = samples.job(), samples.replay(20, curves=False)
    with pytest.raises(TypeError, match="a Report is not made of a SweepResult"):
        csv.write(job, report(job, seen), samples.sweep(plans=5), tmp_path)
