"""Shadow desks: the same plugins and the same market with other settings, one more paper account each (DESIGN 3)."""

import re

from arbitrade_core.errors import SettingsError
from arbitrade_core.settings.model import CoreSettings
from arbitrade_core.settings.overrides import SECTIONS, overridden

_NAME = re.compile(r"[a-z][a-z0-9]{0,20}")
_WHERE = "ARBITRADE_SHADOWS"


def shadow_cores(core: CoreSettings) -> dict[str, CoreSettings]:
    """The core's settings of every shadow, by its name.

    Raises:
        SettingsError: with everything that is wrong with any of them.
    """
    problems: list[str] = []
    changed: dict[str, dict[str, str]] = {}
    for path, value in core.shadows.items():
        name, _, rest = path.partition(".")
        if _NAME.fullmatch(name) and rest.partition(".")[0] in SECTIONS:
            changed.setdefault(name, {})[rest] = value
        else:
            problems.append(
                f"{_WHERE} names {path!r}; write <shadow>.<section>.<setting>=<value>, such as"
                f" tight.trading.min_edge_bps=10, with a section of {', '.join(SECTIONS)}"
            )
    cores = {name: overridden(core, values, f"{_WHERE}, {name}", problems) for name, values in changed.items()}
    if problems:
        raise SettingsError(problems)
    return cores
