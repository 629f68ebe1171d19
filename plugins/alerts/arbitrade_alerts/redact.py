"""Keeps channel URLs, which hold tokens and passwords, out of whatever is written or shown.

Libraries log URLs at debug level (urllib3 the path of every request, apprise much more) and put them into exceptions.
So while a secret is in use, `guarded` rewrites every log record that is made in that context, by any library at any
level, before a handler sees it; and `Redactor` cleans texts.
"""

import base64
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "(hidden)"

_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*)://[^\s'\"<>]+")
_PARTS = re.compile(r"[/:@?&=,;#\s]+")
_NETLOC = re.compile(r"[^/?#]*")
_WITH_HOST = frozenset(
    {"json", "xml", "form", "mailto", "gotify", "ntfy", "matrix", "mqtt", "mmost", "rocket", "hassio"}
)
"""Services whose URL names a host, which may be seen. With many others a token stands in its place."""
_PLAIN = 6
"""Shorter parts are hidden as whole words only: a password `a` must not take every `a` with it."""
_WORDS = frozenset({"true", "false", "yes", "no", "html", "text", "markdown", "post", "get", "put", "ssl", "starttls"})
"""Values of options that say nothing and are words of error messages."""


class Redactor:
    """Hides these URLs and whatever part of them may be secret. A host's name and port may be seen."""

    def __init__(self, urls: Iterable[str]) -> None:
        parts = {part for url in urls for part in _secret_parts(url)}
        patterns = [
            re.escape(part) if len(part) >= _PLAIN else rf"(?<![A-Za-z0-9]){re.escape(part)}(?![A-Za-z0-9])"
            for part in sorted(parts, key=lambda part: (-len(part), part))
        ]
        self._parts = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None

    def __call__(self, text: str) -> str:
        text = _URL.sub(rf"\1://{HIDDEN}", text)
        return self._parts.sub(HIDDEN, text) if self._parts else text


def _secret_parts(url: str) -> Iterator[str]:
    scheme, _, rest = url.strip().partition("://")
    netloc = _NETLOC.match(rest)
    login, _, address = (netloc.group() if netloc else "").rpartition("@")
    seen = address.split(":") if scheme.lower().removesuffix("s") in _WITH_HOST else []
    for whole in (url.strip(), rest, base64.b64encode(unquote(login).encode()).decode()):
        if whole:
            yield whole
    for part in _PARTS.split(rest):
        if not part or part in seen or part.lower() in _WORDS:
            continue
        yield from {part, unquote(part), unquote_plus(part), quote(unquote(part), safe=""), quote_plus(unquote(part))}


_guard: ContextVar["_Guard | None"] = ContextVar("alerts_redactor", default=None)


class _Guard:
    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor
        self.warnings: list[str] = []


@contextmanager
def guarded(redactor: Redactor) -> Iterator[list[str]]:
    """Log records made inside are redacted; yields the list to which texts of warnings and errors are added."""
    _install()
    guard = _Guard(redactor)
    token = _guard.set(guard)
    try:
        yield guard.warnings
    finally:
        _guard.reset(token)


def _install() -> None:
    """Put our step before the process's own making of log records, once."""
    made = logging.getLogRecordFactory()
    if getattr(made, "redacts", False):
        return

    def factory(*args: object, **kwargs: object) -> logging.LogRecord:
        record = made(*args, **kwargs)
        guard = _guard.get()
        if guard is not None:
            _clean(record, guard)
        return record

    factory.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)


def _clean(record: logging.LogRecord, guard: _Guard) -> None:
    text = guard.redactor(record.getMessage())
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        text = f"{text} ({type(error).__name__}: {guard.redactor(str(error))})"
    record.msg, record.args, record.exc_info, record.stack_info = text, None, None, None
    if record.levelno >= logging.WARNING:
        guard.warnings.append(text)
