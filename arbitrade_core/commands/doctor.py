"""`arbitrade doctor`: is this installation able to do its work, and what to do where it is not."""

import platform
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from math import ceil
from typing import Any

import anyio
import typer

from arbitrade_core.commands.console import JsonOption, print_json
from arbitrade_core.commands.db import open_database
from arbitrade_core.commands.settings import kept_overrides
from arbitrade_core.composition import Overrides, core_settings, overriding
from arbitrade_core.errors import ArbitradeError, SettingsError, StorageError
from arbitrade_core.hooks import Finding, Grade
from arbitrade_core.plugins import Catalogue, State, load_catalogue
from arbitrade_core.risk.checks import required_checks
from arbitrade_core.settings import CoreSettings, Settings
from arbitrade_core.storage import repositories
from arbitrade_core.storage.migrations import core_migrations, status
from arbitrade_core.storage.overrides import Kept

_OLDEST = datetime(2026, 1, 1, tzinfo=UTC)
_PLUGIN_LIMIT_S = 60.0


def doctor(as_json: JsonOption = False) -> None:
    """Check Python, settings, plugins, database, clock, and what each plugin needs.

    The exit code is 1 when something failed.
    """
    findings = anyio.run(_collect)
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            typer.echo(f"{finding.grade.value:<8} {finding.what}: {finding.detail}")
            if finding.remedy:
                typer.echo(f"{'':<8} -> {finding.remedy}")
    if any(finding.grade is Grade.FAILED for finding in findings):
        raise typer.Exit(1)


async def _collect() -> list[Finding]:
    return [finding async for finding in _findings()]


async def _findings() -> AsyncIterator[Finding]:
    yield Finding(Grade.OK, "python", f"{platform.python_version()} ({sys.implementation.name}, {platform.platform()})")
    yield clock(datetime.now(UTC))
    try:
        kept = await _overrides(core_settings())
        with overriding(kept) as found:
            catalogue = load_catalogue()
            settings = catalogue.settings()
    except SettingsError as error:
        for problem in error.problems:
            yield Finding(Grade.FAILED, "settings", problem, "correct the environment or .env, then run doctor again")
        return
    yield Finding(Grade.OK, "settings", f"all {len(settings.variables)} valid")
    for finding in overridden(found, settings):
        yield finding
    for finding in plugins(catalogue):
        yield finding
    for finding in registration(catalogue, settings):
        yield finding
    async for finding in database(settings.core):
        yield finding
    async for finding in of_plugins(catalogue, settings):
        yield finding


def clock(now: datetime) -> Finding:
    """Whether the clock can be right at all; plugins compare it with their exchange's."""
    if now < _OLDEST:
        return Finding(Grade.FAILED, "clock", f"{now:%Y-%m-%d %H:%M} UTC is in the past", "set the clock (NTP)")
    return Finding(Grade.OK, "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


async def _overrides(core: CoreSettings) -> Kept:
    """None when the database is in trouble, which is a finding of its own."""
    try:
        return (await kept_overrides(core))[0]
    except StorageError:
        return Kept()


def overridden(found: Overrides, settings: Settings) -> Iterator[Finding]:
    """What of the overrides in the database is in force."""
    kept = found.kept
    for name, why in found.wrong.items():
        detail = f"v{kept.since[name]} of {name} is left out: {why}"
        yield Finding(Grade.WARNING, "override", detail, f"`arbitrade settings unset {name}`, or set what is allowed")
    sound = kept.values.keys() - found.wrong.keys()
    pinned = sorted(name for name in sound if settings.given.pins(name))
    if sound:
        above = f"; the environment stands above {', '.join(pinned)}" if pinned else ""
        detail = f"version {kept.version}: {len(sound) - len(pinned)} in force{above}"
        yield Finding(Grade.OK, "overrides", detail)


def plugins(catalogue: Catalogue) -> Iterator[Finding]:
    for entry in catalogue.entries:
        what = f"plugin {entry.name}"
        if entry.state is State.FAILED:
            yield Finding(Grade.FAILED, what, entry.last_error or "failed", "repair or uninstall it")
        else:
            yield Finding(Grade.OK, what, f"{entry.state.value}, {entry.origin}")


def registration(catalogue: Catalogue, settings: Settings) -> Iterator[Finding]:
    """What the hooks return: required checks, a feed, a detector, fees."""
    registry = catalogue.registry(settings)
    try:
        missing = required_checks(settings.core.risk) - {check.thing.name for check in registry.risk_checks()}
        sources = registry.fee_sources()
        empty = [
            kind
            for kind, found in (
                ("feed", registry.feeds()),
                ("detector", registry.detectors()),
                ("executor", registry.executors()),
            )
            if not found
        ]
    except ArbitradeError as error:
        yield Finding(Grade.FAILED, "hooks", str(error), "repair or disable the plugin")
        return
    if missing:
        detail = f"required checks are missing: {', '.join(sorted(missing))}"
        yield Finding(Grade.FAILED, "risk", detail, "enable their plugin, or correct ARBITRADE_RISK__REQUIRED")
    for kind in empty:
        yield Finding(Grade.WARNING, "hooks", f"no plugin brings a {kind}", "see ARBITRADE_PLUGINS")
    reasons = []
    for source in sources:
        try:
            fees = source.thing.snapshot((), time.time_ns())
        except SettingsError as error:
            reasons += error.problems
        else:
            yield Finding(Grade.OK, "fees", fees.source)
            return
    yield Finding(Grade.WARNING, "fees", "; ".join(reasons) or "no source", "without fees nothing trades")


async def database(core: CoreSettings) -> AsyncIterator[Finding]:
    try:
        async with open_database(core) as opened:
            found = await status(opened, core_migrations())
            place = opened.place
            unprojected = 0
            if found.applied:
                async with opened.pool(size=1) as pool:
                    unprojected = await repositories.projection_failures(pool)
    except StorageError as error:
        yield Finding(Grade.FAILED, "database", str(error), "without a database nothing trades")
        return
    yield Finding(Grade.OK, "database", f"{place.database!r} at {place.shown}")
    if found.pending:
        detail = f"{len(found.pending)} pending, {len(found.applied)} applied"
        yield Finding(Grade.WARNING, "migrations", detail, "`arbitrade run` applies them, or `arbitrade db migrate`")
    else:
        yield Finding(Grade.OK, "migrations", f"all {len(found.applied)} applied")
    if unprojected:
        detail = f"{unprojected} journal records could not be turned into table rows (table projection_failures)"
        yield Finding(Grade.FAILED, "journal", detail, "their desks do not start; report it, keep the database")


async def of_plugins(catalogue: Catalogue, settings: Settings) -> AsyncIterator[Finding]:
    """What the plugins' own `doctor` functions find, and what their round trips say of the paper latency."""
    for entry in catalogue.enabled():
        examine: Any = getattr(catalogue.module(entry.name), "doctor", None)
        if examine is None:
            continue
        findings: list[Finding] = []
        try:
            with anyio.fail_after(_PLUGIN_LIMIT_S):
                async for finding in examine(catalogue.context(entry.name, settings)):
                    findings.append(finding)  # noqa: PERF401 - what was found before it fails must stay
        except TimeoutError:
            detail = f"its checks did not end within {_PLUGIN_LIMIT_S:.0f} s"
            findings.append(Finding(Grade.FAILED, f"plugin {entry.name}", detail, "see its documentation"))
        except Exception as error:  # noqa: BLE001 - foreign code; that it failed is the finding
            detail = f"its checks failed: {type(error).__name__}: {error}"
            findings.append(Finding(Grade.FAILED, f"plugin {entry.name}", detail, f"report it to {entry.distribution}"))
        for finding in findings:
            yield finding
            if finding.round_trip_ms is not None:
                yield latency(finding.round_trip_ms, settings.core.paper.latency_ms)


def latency(round_trip_ms: float, configured_ms: int) -> Finding:
    """Whether the paper venue is as slow as the way to the exchange (TRADING 38)."""
    detail = f"round trip {round_trip_ms:.0f} ms, paper venue {configured_ms} ms"
    if round_trip_ms <= configured_ms:
        return Finding(Grade.OK, "latency", detail)
    remedy = f"paper results are optimistic: set ARBITRADE_PAPER__LATENCY_MS to {ceil(round_trip_ms)} or more"
    return Finding(Grade.WARNING, "latency", detail, remedy)
