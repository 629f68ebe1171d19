"""A variant as settings of the bot: variables of the environment, and what they would change."""

import re

import msgspec

from arbitrade_core.composition import load
from arbitrade_core.errors import SettingsError
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.searched import Variant
from arbitrade_core.replay.stage import variables_of
from arbitrade_core.replay.sweep.space import ORIGIN, decides, variable_name, with_market
from arbitrade_core.settings import Settings, written
from arbitrade_core.settings.environment import instead_of_environment

_SIMULATED = ("paper.", "trading.venue")
"""What a job says of the simulation, not of the trading."""
_PLAIN = re.compile(r"[A-Za-z0-9_./:,=+@%-]*")


class Change(msgspec.Struct, frozen=True):
    """One setting."""

    setting: str
    variable: str
    value: str
    """as the environment has it"""
    present: str
    """in force now; empty: not set"""
    origin: str
    """where that comes from: `environment`, a file, `default`"""
    changes: bool
    """whether the two differ in more than their spelling"""

    @property
    def line(self) -> str:
        """For an environment file."""
        if _PLAIN.fullmatch(self.value):
            return f"{self.variable}={self.value}"
        quoted = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.variable}="{quoted}"'

    @property
    def words(self) -> str:
        if not self.changes:
            return f"{self.setting} stays {self.present or 'unset'}"
        return f"{self.setting}: {self.present or 'unset'} ({self.origin}) becomes {self.value}"


class Application(msgspec.Struct, frozen=True):
    """What applying a variant means."""

    variant: int
    changes: tuple[Change, ...]
    """the settings that were searched, also those that stay"""
    beside: tuple[Change, ...]
    """what the job had otherwise than the present settings: without these too, its result is not that of the bot"""

    @property
    def environment(self) -> str:
        """Lines of an environment file."""
        return "".join(f"{change.line}\n" for change in self.changes)

    @property
    def text(self) -> str:
        """For people."""
        lines = [f"variant {self.variant}:", *(f"  {change.words}" for change in self.changes)]
        if self.beside:
            lines += ["the sweep also ran with settings that differ from the present ones; these are not applied:"]
            lines += [f"  {change.words}" for change in self.beside]
        return "\n".join(lines) + "\n"


def application(job: JobSpec, variant: Variant, present: Settings) -> Application:
    """`present`: the settings in force now.

    Raises:
        SettingsError: with everything that is wrong with the variant's settings today, as after an upgrade.
        PluginError: a plugin that it needs cannot be used.
    """
    then = _then(job, variant)
    known = {".".join(variable.path): variable for variable in then.variables}
    gone = [path for path in variant.settings if path not in known]
    if gone:
        raise SettingsError(
            [f"{path} is no setting any more, so variant {variant.number} is of no use" for path in gone]
        )
    in_use = {variable.name for variable in present.variables}

    def change(path: str) -> Change:
        variable = known[path]
        value = then.value(variable)
        text = variant.settings.get(path, written(value))
        if variable.name not in in_use:
            return Change(path, variable.name, text, "", "default", changes=True)
        now = present.value(variable)
        return Change(path, variable.name, text, written(now), present.origin(variable), changes=value != now)

    others = (
        change(path)
        for path, variable in sorted(known.items())
        if path not in variant.settings and decides(path) and not variable.secret and not path.startswith(_SIMULATED)
    )
    return Application(
        variant.number,
        tuple(change(path) for path in sorted(variant.settings)),
        tuple(each for each in others if each.changes),
    )


def _then(job: JobSpec, variant: Variant) -> Settings:
    """The settings that the variant ran with."""
    own = {variable_name(path): text for path, text in variant.settings.items()}
    with instead_of_environment(variables_of(with_market(job, variant.settings)) | own, ORIGIN):
        return load().settings
