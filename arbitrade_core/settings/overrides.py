"""Other settings for one desk: what shadows, backtests and the variants of a sweep differ by."""

import difflib
from collections.abc import Mapping

from pydantic import ValidationError

from arbitrade_core.settings.environment import parse
from arbitrade_core.settings.model import CoreSettings, Section

SECTIONS = ("trading", "paper", "execution", "risk")
"""The core's sections that are a desk's own; whatever else there is belongs to the process."""


def desk_settings() -> list[str]:
    """Every setting that desks may differ by, as `section.setting`."""
    return [f"{name}.{field}" for name in SECTIONS for field in _annotation(name).model_fields]


def _annotation(section: str) -> type[Section]:
    annotation = CoreSettings.model_fields[section].annotation
    assert isinstance(annotation, type)
    assert issubclass(annotation, Section)
    return annotation


def overridden(core: CoreSettings, values: Mapping[str, str], where: str, problems: list[str]) -> CoreSettings:
    """The core's settings with other values, by `section.setting`, as text.

    What is wrong is added to `problems`, each line beginning with `where`; what is returned then is of no use.
    """
    changed: dict[str, dict[str, object]] = {}
    for path, text in values.items():
        section_name, _, field_name = path.partition(".")
        section: Section | None = getattr(core, section_name) if section_name in SECTIONS else None
        if not isinstance(section, Section) or field_name not in type(section).model_fields:
            near = difflib.get_close_matches(path, desk_settings(), n=1, cutoff=0.6)
            example = near[0] if near else "trading.min_edge_bps"
            problems.append(
                f"{where} names {path!r}; write <section>.<setting>, such as {example}, with a section of "
                f"{', '.join(SECTIONS)}"
            )
            continue
        annotation = type(section).model_fields[field_name].annotation
        changed.setdefault(section_name, {})[field_name] = parse(annotation, text)
    fresh: dict[str, Section] = {}
    for section_name, fields in changed.items():
        own: Section = getattr(core, section_name)
        try:
            fresh[section_name] = type(own).model_validate({**own.model_dump(), **fields})
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                at = ".".join(map(str, detail["loc"]))
                problems.append(f"{where}: {section_name}.{at} is {detail['input']!r}: {detail['msg'].lower()}")
    return core.model_copy(update=fresh)
