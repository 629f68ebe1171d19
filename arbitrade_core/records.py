"""What the journal says: one function per kind of record, money as plain decimal text.

`storage/projector.py` turns these into tables; nothing else knows both sides.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from arbitrade_core.domain import FeeSnapshot, Fill, Order, Plan, PlanKind, PlanLeg
from arbitrade_core.journal import Fields
from arbitrade_core.money import plain
from arbitrade_core.spi import Outcome


def path(plan: Plan) -> str:
    """Assets in trade order, for eyes: `USD > BTC > ETH > USD`."""
    return " > ".join([plan.legs[0].leg.spends, *(leg.leg.gets for leg in plan.legs)])


def amounts(values: Mapping[str, Decimal]) -> dict[str, str]:
    return {asset: plain(amount) for asset, amount in sorted(values.items())}


def plan_record(plan: Plan, approvals: Sequence[str], marks: Mapping[str, Decimal]) -> Fields:
    """An approved plan with the ids of all its orders: the durable intent of every leg.

    `marks` are those of its decision, by asset: whatever becomes of it is valued at them (TRADING 23).
    """
    certificate = plan.certificate
    return {
        "id": plan.id,
        "desk": plan.desk_id,
        "strategy": plan.strategy,
        "kind": plan.kind.value,
        "key": plan.key,
        "path": path(plan),
        "start_asset": plan.start_asset,
        "start": plain(plan.start),
        "end": plain(plan.end),
        "edge_bps": plain(plan.edge_bps),
        "profit_valued": plain(plan.profit_valued),
        "notional_valued": plain(plan.notional_valued),
        "valuation_asset": plan.valuation_asset,
        "fees_id": plan.fees_id,
        "decided_ns": plan.decided_ns,
        "certificate": None
        if certificate is None
        else {
            "start": plain(certificate.start),
            "end_floor": plain(certificate.end_floor),
            "margin": plain(certificate.margin),
            "rounding_fills": certificate.rounding_fills,
        },
        "legs": [_leg(leg) for leg in plan.legs],
        "approvals": list(approvals),
        "marks": amounts(marks),
    }


def _leg(leg: PlanLeg) -> Fields:
    return {
        "order_id": leg.order_id,
        "symbol": leg.leg.symbol,
        "side": leg.leg.side.name.lower(),
        "qty": plain(leg.qty),
        "limit": plain(leg.limit),
        "spends": leg.leg.spends,
        "gets": leg.leg.gets,
        "top": plain(leg.top),
        "average": plain(leg.average),
        "spend": plain(leg.spend),
        "get": plain(leg.get),
        "fee": {
            "rate": plain(leg.fee.rate),
            "currency": leg.fee.currency.value,
            "role": leg.fee.role.value,
        },
    }


def drop_record(plan: Plan, stage: str, reason: str) -> Fields:
    return {"plan": plan.id, "desk": plan.desk_id, "stage": stage, "reason": reason}


def order_intent(order: Order, purpose: str) -> Fields:
    """For `send` and `follow_up`."""
    return {
        "plan": order.plan_id,
        "desk": order.desk_id,
        "order": order.id,
        "symbol": order.leg.symbol,
        "side": order.leg.side.name.lower(),
        "qty": plain(order.qty),
        "limit": plain(order.limit),
        "tif": order.tif.value,
        "purpose": purpose,
    }


def order_record(order: Order, event: str, state: str, filled_qty: Decimal, reason: str = "") -> Fields:
    return {
        "plan": order.plan_id,
        "desk": order.desk_id,
        "order": order.id,
        "event": event,
        "state": state,
        "reason": reason,
        "filled_qty": plain(filled_qty),
    }


def fill_record(order: Order, fill: Fill) -> Fields:
    return {
        "plan": order.plan_id,
        "desk": order.desk_id,
        "order": order.id,
        "exec_id": fill.exec_id,
        "symbol": order.leg.symbol,
        "side": order.leg.side.name.lower(),
        "spends": order.leg.spends,
        "gets": order.leg.gets,
        "qty": plain(fill.qty),
        "price": plain(fill.price),
        "cost": plain(fill.cost),
        "fee": plain(fill.fee),
        "fee_asset": fill.fee_asset,
        "rows": [{"asset": row.asset, "amount": plain(row.amount), "fee": plain(row.fee)} for row in fill.rows],
    }


def end_record(
    plan: Plan,
    outcome: Outcome,
    *,
    pnl: Mapping[str, Decimal],
    profit_valued: Decimal | None,
    residue: Mapping[str, Decimal],
    attribution: Iterable[Fields],
) -> Fields:
    position = plan.kind is PlanKind.POSITION
    profit = pnl.get(plan.start_asset, Decimal(0))
    brought = pnl.get(plan.legs[-1].leg.gets, Decimal(0)) if position else plan.start + profit
    return {
        "plan": plan.id,
        "desk": plan.desk_id,
        "outcome": outcome.kind,
        "note": outcome.note,
        "realised_end": plain(brought),
        "profit": None if position else plain(profit),
        "profit_valued": None if profit_valued is None else plain(profit_valued),
        "pnl": amounts(pnl),
        "residue": amounts(residue),
        "attribution": list(attribution),
    }


def wait_record(plan: Plan, reason: str) -> Fields:
    return {"plan": plan.id, "desk": plan.desk_id, "reason": reason}


def high_water_record(desk_id: str, valuation_asset: str, high_water: Decimal) -> Fields:
    """What drawdown is measured from, so that it survives a restart."""
    return {"desk": desk_id, "valuation_asset": valuation_asset, "high_water_valued": plain(high_water)}


def balances_record(desk_id: str, accounts: Iterable[tuple[str, str, Decimal]]) -> Fields:
    """`accounts`: (asset, account, amount)."""
    return {
        "desk": desk_id,
        "accounts": [
            {"asset": asset, "account": account, "amount": plain(amount)} for asset, account, amount in sorted(accounts)
        ],
    }


def fees_record(desk_id: str, fees: FeeSnapshot) -> Fields:
    """The whole snapshot, so that a plan's `fees_id` can always be looked up."""
    return {
        "desk": desk_id,
        "id": fees.id,
        "source": fees.source,
        "as_of_ns": fees.as_of_ns,
        "taker": {
            symbol: {"rate": plain(fee.rate), "currency": fee.currency.value}
            for symbol, fee in sorted(fees.taker.items())
        },
    }
