"""The shipped checks (TRADING 36), made from the settings, in the order in which the gate asks them.

Those that only look something up come first, those that walk legs and open plans after them. Latency and
rate-counter headroom need an account and come with its venue.
"""

from arbitrade_core.risk.account import (
    BannedLegs,
    ConsecutiveFailures,
    DailyLoss,
    Drawdown,
    Fees,
    HourlyLoss,
    NotHalted,
    UnwindLoss,
)
from arbitrade_core.risk.market import BookHealth, Depeg, ExchangeStatus, MaximumEdge, MinimumProfit
from arbitrade_core.risk.size import (
    AssetNotional,
    Cooldown,
    CycleNotional,
    OncePerAppearance,
    OpenPlans,
    PairNotional,
    PlanRate,
    Reserve,
    TotalNotional,
)
from arbitrade_core.settings import RiskSettings
from arbitrade_core.spi import RiskCheck


def shipped_checks(risk: RiskSettings) -> list[RiskCheck]:
    """Every check that needs no account, cheap ones first; those that are switched on by a setting of their own only
    then."""
    return [
        NotHalted(),
        ExchangeStatus(),
        MaximumEdge(risk.max_edge_bps),
        MinimumProfit(risk.min_profit_valued),
        OpenPlans(risk.max_open_plans),
        ConsecutiveFailures(risk.max_consecutive_failures),
        BookHealth(risk.max_book_age_ms, risk.max_feed_lag_ms, risk.max_leg_skew_ms, risk.max_unchanged_ms),
        BannedLegs(),
        Fees(risk.max_fees_age_h),
        Reserve(risk.reserve),
        *([OncePerAppearance()] if risk.once_per_appearance else ()),
        Cooldown(risk.cooldown_ms),
        PlanRate(risk.max_plans_per_hour),
        CycleNotional(risk.max_cycle_notional_valued),
        TotalNotional(risk.max_total_notional_valued),
        PairNotional(risk.max_pair_notional_valued),
        AssetNotional(risk.max_asset_notional_valued),
        Depeg(risk.stablecoins, risk.max_depeg_bps),
        HourlyLoss(risk.max_loss_per_hour_valued),
        DailyLoss(risk.max_loss_per_day_valued),
        UnwindLoss(risk.max_unwind_loss_per_day_valued),
        Drawdown(risk.max_drawdown_valued),
    ]


def required_checks(risk: RiskSettings) -> frozenset[str]:
    """Names of the checks without which nothing trades: as set, else all that are shipped."""
    if risk.required is not None:
        return frozenset(risk.required)
    return frozenset(check.name for check in shipped_checks(risk))
