"""Shadow desks: the same plugins and the same market with other settings, one more paper account each (DESIGN 3)."""

import re
from collections.abc import Mapping

from pydantic import ValidationError

from arbitrade_core.errors import SettingsError
from arbitrade_core.settings.environment import parse
from arbitrade_core.settings.model import CoreSettings, Section

SECTIONS = ("trading", "paper", "execution", "risk")
_NAME = re.compile(r"[a-z][a-z0-9]{0,20}")
_WHERE = "ARBITRADE_SHADOWS"


def shadow_cores(core: CoreSettings) -> dict[str, CoreSettings]:
    """The core's settings of every shadow, by its name.

    Raises:
        SettingsError: with everything that is wrong with any of them.
    """
    problems: list[str] = []
    changed: dict[str, dict[str, dict[str, object]]] = {}
    for path, value in core.shadows.items():
        name, _, rest = path.partition(".")
        section_name, _, field_name = rest.partition(".")
        section: Section | None = getattr(core, section_name) if section_name in SECTIONS else None
        if (
            not _NAME.fullmatch(name)
            or not isinstance(section, Section)
            or field_name not in type(section).model_fields
        ):
            problems.append(
                f"{_WHERE} names {path!r}; write <shadow>.<section>.<setting>=<value>, such as"
                f" tight.trading.min_edge_bps=10, with a section of {', '.join(SECTIONS)}"
            )
            continue
        annotation = type(section).model_fields[field_name].annotation
        changed.setdefault(name, {}).setdefault(section_name, {})[field_name] = parse(annotation, value)
    cores = {name: _with(core, name, sections, problems) for name, sections in changed.items()}
    if problems:
        raise SettingsError(problems)
    return cores


def _with(
    core: CoreSettings, name: str, sections: Mapping[str, Mapping[str, object]], problems: list[str]
) -> CoreSettings:
    fresh: dict[str, Section] = {}
    for section_name, values in sections.items():
        section: Section = getattr(core, section_name)
        try:
            fresh[section_name] = type(section).model_validate({**section.model_dump(), **values})
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                where = ".".join(map(str, detail["loc"]))
                problems.append(
                    f"{_WHERE}: {name}.{section_name}.{where} is {detail['input']!r}: {detail['msg'].lower()}"
                )
    return core.model_copy(update=fresh)
