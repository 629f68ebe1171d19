"""A report on a terminal: the answer, the figures behind it, and never more than a screen."""

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from arbitrade_core.replay.report import words
from arbitrade_core.replay.report.shapes import Answer, AnyReport, Report, SweepReport

MOST_LINES = 25


def show(report: AnyReport, console: Console) -> None:
    """At most `MOST_LINES` lines, whatever the terminal's width; what does not fit is the end."""
    pieces = _backtest(report) if isinstance(report, Report) else _sweep(report)
    left = MOST_LINES
    for piece in pieces:
        lines = console.render_lines(piece, pad=False)
        if len(lines) >= left:
            console.print(Text("The report has more.", style="dim"))
            return
        console.print(piece)
        left -= len(lines)


def _backtest(report: Report) -> list[RenderableType]:
    head, asset = report.headline, report.asset
    unlimited = report.unlimited
    per_plan = head.per_plan
    rows = [
        ("trading", words.gain(head.trading_valued, asset), f"95 % interval {words.between(head.total)}"),
        *(
            []
            if unlimited is None
            else [("unlimited", words.gain(unlimited.trading_valued, asset), "as often as offered")]
        ),
        ("revaluation", words.gain(head.revaluation_valued, asset), "of what was held"),
        ("per hour", words.rate(head.per_hour, asset), words.between(head.per_hour)),
        *([] if per_plan is None else [("per plan", words.gain(per_plan.estimate, asset), words.between(per_plan))]),
        ("plans", words.count(head.plans), f"{words.count(head.outcomes.get('completed', 0))} completed"),
        ("fill ratio", words.share(head.fill_ratio), f"drawdown {words.amount(head.drawdown_valued, asset)}"),
    ]
    return [*_head(report.name or "Backtest", report.answer), _table(rows), _decisions(report)]


def _sweep(report: SweepReport) -> list[RenderableType]:
    rows = [
        (
            str(row.place),
            words.gain(row.trading_valued, report.asset),
            ", ".join(f"{name}={value}" for name, value in row.settings.items()),
        )
        for row in report.ranking.rows[:5]
    ]
    return [*_head(report.name or "Sweep", report.answer), _table(rows), _decisions(report)]


def _head(name: str, answer: Answer) -> list[RenderableType]:
    said = [Text(answer.earned), Text(answer.sure), *([Text(answer.why)] if answer.why else [])]
    cautions = [Text(f"! {each}", style="yellow") for each in answer.cautions[:3]]
    return [Text(name, style="bold"), *said, *cautions]


def _table(rows: Sequence[tuple[str, str, str]]) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return Padding(table, (1, 0, 0, 0))


def _decisions(report: AnyReport) -> Text:
    return Text(f"decisions {report.grounds.decisions[:16]}, seed {report.grounds.seed}", style="dim")
