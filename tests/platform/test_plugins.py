"""The catalogue: what is found, what is imported, and what a wrong plugin costs."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from arbitrade_core.errors import PluginError, SettingsError
from arbitrade_core.plugins import Catalogue, Entry, State, Toggle, import_plugin, load_catalogue

Plugin = Callable[..., Path]

GOOD = "from arbitrade_core.hooks import hookimpl\nARBITRADE_API = 1\n"


def entry(catalogue: Catalogue, name: str) -> Entry:
    return next(one for one in catalogue.entries if one.name == name)


def test_the_core_comes_first_the_others_by_name(plugin: Plugin) -> None:
    plugin("aardvark", GOOD)
    names = [one.name for one in load_catalogue().entries]
    assert names == ["core", "aardvark", "alerts", "kraken", "statarb", "triangular"]


def test_an_entry_tells_where_a_plugin_is_from_and_what_it_does(plugin: Plugin) -> None:
    plugin("fine", GOOD + "@hookimpl\ndef register_notifiers(ctx): return []\n")
    fine = entry(load_catalogue(), "fine")
    assert (fine.distribution, fine.version, fine.api_version, fine.state) == ("dist-fine", "1.0", 1, State.ENABLED)
    assert fine.hooks == ("register_notifiers",)
    assert fine.last_error is None


def test_a_plugin_that_is_not_enabled_is_not_imported(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin("idle", "raise SystemExit('imported')")
    monkeypatch.setenv("ARBITRADE_PLUGINS", "kraken,triangular")
    catalogue = load_catalogue()
    idle = entry(catalogue, "idle")
    assert (idle.state, idle.hooks, idle.api_version) == (State.DISABLED, (), None)
    assert "mod_dist_idle_idle" not in sys.modules
    assert [one.name for one in catalogue.enabled()] == ["core", "kraken", "triangular"]
    catalogue.require_sound()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("", "does not declare ARBITRADE_API"),
        ("ARBITRADE_API = 2", "plugin API 2, and arbitrade 0.1.0 has plugin API 1"),
        (
            GOOD + "@hookimpl\ndef register_feedz(ctx): ...",
            "register_feedz, which is no hook: did you mean register_feeds",
        ),
        (GOOD + "@hookimpl\ndef start(ctx): ...", "start, which is no hook: the hooks are register_settings"),
        (GOOD + "def register_feeds(ctx): ...", "register_feeds without @hookimpl"),
        (GOOD + "@hookimpl\ndef register_feeds(context): ...", "other arguments than it has"),
        (GOOD + "NEEDS = 'feed'", "declares NEEDS = 'feed'; it must be a tuple of feed, fees"),
        (GOOD + "NEEDS = ('fead',)", "declares NEEDS = ('fead',)"),
        (GOOD + "@hookimpl\ndef register_settings(): return 5", "must return a class derived from"),
        (GOOD + "@hookimpl\ndef register_settings(): 1 / 0", "ZeroDivisionError"),
        (
            GOOD + "from pydantic_settings import BaseSettings\nclass S(BaseSettings): ...\n"
            "@hookimpl\ndef register_settings(): return S",
            "not BaseSettings",
        ),
    ],
)
def test_a_wrong_plugin_stops_the_start_naming_its_distribution(plugin: Plugin, text: str, says: str) -> None:
    plugin("wrong", text, distribution="some-dist")
    catalogue = load_catalogue()
    wrong = entry(catalogue, "wrong")
    assert wrong.state is State.FAILED
    assert not catalogue.relay.has_plugin("wrong")
    with pytest.raises(PluginError) as caught:
        catalogue.require_sound()
    assert "some-dist 1.0" in str(caught.value)
    assert says in str(caught.value)
    assert "kraken" not in str(caught.value)


def test_an_import_error_tells_the_place_in_the_plugins_code(plugin: Plugin) -> None:
    plugin("wrong", "\n\nimport no_such_module")
    assert "mod_dist_wrong_wrong.py, line 3)" in (entry(load_catalogue(), "wrong").last_error or "")


def test_every_wrong_plugin_is_told_at_once(plugin: Plugin) -> None:
    plugin("one", "1 / 0")
    plugin("two", "")
    with pytest.raises(PluginError, match=r"(?s)dist-one 1\.0.*dist-two 1\.0"):
        load_catalogue().require_sound()


def test_a_name_taken_twice_is_refused_even_when_not_enabled(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin("twin", GOOD, distribution="first-dist")
    plugin("twin", GOOD, distribution="second-dist")
    monkeypatch.setenv("ARBITRADE_PLUGINS", "kraken,triangular")
    with pytest.raises(PluginError, match=r"'twin' is taken by (first|second)-dist 1\.0 and (first|second)-dist"):
        load_catalogue().require_sound()


def test_nobody_takes_the_place_of_a_shipped_plugin(plugin: Plugin) -> None:
    plugin("kraken", GOOD, distribution="impostor")
    with pytest.raises(PluginError, match="impostor"):
        load_catalogue().require_sound()


@pytest.mark.parametrize("name", ["risk", "Loud", "two__parts", "a-b"])
def test_a_name_that_can_be_no_section_of_settings_is_refused(plugin: Plugin, name: str) -> None:
    plugin(name, GOOD, distribution="odd-dist")
    with pytest.raises(PluginError, match=r"odd-dist 1\.0"):
        load_catalogue().require_sound()


def test_a_plugin_that_is_not_installed_cannot_be_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITRADE_PLUGINS", "krakn")
    with pytest.raises(SettingsError, match=r"names 'krakn', which is not installed\. Did you mean 'kraken'"):
        load_catalogue().settings()


EXPERIMENTAL = "arbitrade.plugins.experimental"


def test_an_experimental_plugin_needs_its_flag(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin("lab", GOOD, group=EXPERIMENTAL)
    assert entry(load_catalogue(), "lab").state is State.DISABLED

    monkeypatch.setenv("ARBITRADE_PLUGINS", "lab")
    catalogue = load_catalogue()
    assert entry(catalogue, "lab").state is State.DISABLED
    with pytest.raises(SettingsError, match="'lab', which is experimental"):
        catalogue.settings()

    monkeypatch.setenv("ARBITRADE_EXPERIMENTAL", "lab")
    assert entry(load_catalogue(), "lab").state is State.ENABLED
    monkeypatch.delenv("ARBITRADE_PLUGINS")
    assert entry(load_catalogue(), "lab").state is State.DISABLED, "the flag only allows it"
    assert entry(load_catalogue({"lab": Toggle(State.ENABLED)}), "lab").state is State.ENABLED
    monkeypatch.delenv("ARBITRADE_EXPERIMENTAL")
    assert entry(load_catalogue({"lab": Toggle(State.ENABLED)}), "lab").state is State.DISABLED


def test_a_toggle_outlives_the_process_and_the_environment_beats_it(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin("fine", GOOD)
    off = {"fine": Toggle(State.DISABLED)}
    assert entry(load_catalogue(off), "fine").state is State.DISABLED
    assert "mod_dist_fine_fine" not in sys.modules
    monkeypatch.setenv("ARBITRADE_PLUGINS", "fine,kraken")
    catalogue = load_catalogue(off)
    assert entry(catalogue, "fine").state is State.ENABLED
    assert "ARBITRADE_PLUGINS decides" in (catalogue.why_not_disable("fine") or "")
    assert "ARBITRADE_PLUGINS decides" in (catalogue.why_not_enable("triangular") or "")


def test_a_quarantined_plugin_stays_out_and_shows_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITRADE_PLUGINS", "kraken,triangular")
    catalogue = load_catalogue({"triangular": Toggle(State.QUARANTINED, "engine", "raised KeyError: 'x'")})
    quarantined = entry(catalogue, "triangular")
    assert (quarantined.state, quarantined.last_error) == (State.QUARANTINED, "raised KeyError: 'x'")
    assert "triangular" not in [one.name for one in catalogue.enabled()]
    catalogue.require_sound()


def test_what_others_need_stays_enabled() -> None:
    catalogue = load_catalogue()
    assert "'triangular' needs a feed; disable 'triangular' first" in (catalogue.why_not_disable("kraken") or "")
    assert catalogue.why_not_disable("triangular") is None
    assert catalogue.why_not_disable("core") == "the core cannot be disabled"


def test_a_plugin_that_misses_what_it_needs_is_out_with_all_that_need_it(plugin: Plugin) -> None:
    plugin("first", GOOD + "NEEDS = ('plugin:nowhere',)\n@hookimpl\ndef register_services(ctx): return []\n")
    plugin("second", GOOD + "NEEDS = ('plugin:first',)\n")
    catalogue = load_catalogue()
    assert entry(catalogue, "first").state is State.FAILED
    assert "dist-first 1.0) needs the plugin 'nowhere'" in (entry(catalogue, "first").last_error or "")
    assert "needs the plugin 'first'" in (entry(catalogue, "second").last_error or "")


def test_what_is_installed_while_the_bot_runs_appears_and_can_be_enabled(plugin: Plugin) -> None:
    catalogue = load_catalogue()
    plugin("late", GOOD + "@hookimpl\ndef register_notifiers(ctx): return []\n")
    with pytest.raises(PluginError, match="'late' is not installed"):
        catalogue.entry("late")
    catalogue.refresh()
    late = catalogue.entry("late")
    assert late.state is State.DISABLED
    catalogue.adopt("late", import_plugin(catalogue.point("late"), late.who))
    assert (catalogue.entry("late").state, catalogue.entry("late").hooks) == (State.ENABLED, ("register_notifiers",))
    catalogue.drop("late", State.DISABLED)
    assert not catalogue.relay.has_plugin("late")


def test_another_version_of_an_imported_plugin_needs_a_restart(plugin: Plugin, site: Path) -> None:
    plugin("fine", GOOD)
    catalogue = load_catalogue()
    (site / "dist_fine-1.0.dist-info").rename(site / "dist_fine-1.1.dist-info")
    (site / "dist_fine-1.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: dist-fine\nVersion: 1.1\n")
    catalogue.refresh()
    fine = catalogue.entry("fine")
    assert (fine.version, fine.restart_for) == ("1.0", "1.1")
