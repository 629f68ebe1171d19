"""A Kraken API key: where it is kept, and how it signs (PROTOCOL 3.1). It is never shown, not even by a traceback."""

import base64
import binascii
import hashlib
import hmac
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from arbitrade_core.errors import SettingsError
from arbitrade_kraken.settings import KrakenSettings

HIDDEN = "(hidden)"
_PREFIX = "ARBITRADE_KRAKEN__"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_HOW = (
    f"set {_PREFIX}FEE_KEY_FILE and {_PREFIX}FEE_SECRET_FILE, or {_PREFIX}FEE_KEY and {_PREFIX}FEE_SECRET; the key"
    " needs `Query funds` alone (docs/fees.md)"
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Its public and its private part."""

    public: str = field(repr=False)
    private: str = field(repr=False)
    """base64, as Kraken hands it out"""

    def sign(self, path: str, nonce: int, body: bytes) -> str:
        """The header `API-Sign` of a request. `path` begins with `/0/private/`; `body` holds the nonce too."""
        message = path.encode() + hashlib.sha256(str(nonce).encode() + body).digest()
        return base64.b64encode(hmac.digest(base64.b64decode(self.private), message, "sha512")).decode()

    def redact(self, text: str) -> str:
        """The text without either part, should somebody have sent one back to us."""
        return text.replace(self.private, HIDDEN).replace(self.public, HIDDEN)


def key_from(settings: KrakenSettings) -> ApiKey:
    """The key that the settings name. Raises SettingsError with everything that is wrong; it never holds the key."""
    problems: list[str] = []
    public = _part("FEE_KEY", settings.fee_key, settings.fee_key_file, problems)
    private = _part("FEE_SECRET", settings.fee_secret, settings.fee_secret_file, problems)
    if public is None and private is None and not problems:
        problems.append(f"no API key is configured: {_HOW}")
    elif public is None and not problems:
        problems.append(f"the private part of a key is set, but not the key itself: {_HOW}")
    elif private is None and not problems:
        problems.append(f"a key is set, but not its private part: {_HOW}")
    if public is not None and not (public.isascii() and public.isprintable()):
        problems.append(f"{_PREFIX}FEE_KEY is no API key: it holds characters that no key has; copy it again")
    if private is not None and not _is_base64(private):
        problems.append(f"{_PREFIX}FEE_SECRET is no private key of Kraken's: it is not base64; copy all of it again")
    if problems or public is None or private is None:
        raise SettingsError(problems)
    return ApiKey(public, private)


def _part(name: str, told: SecretStr | None, file: Path | None, problems: list[str]) -> str | None:
    if file is None:
        return None if told is None else told.get_secret_value().strip()
    setting = f"{_PREFIX}{name}_FILE"
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if sys.platform != "win32" and mode & _OTHERS:
            problems.append(f"{setting}: {file} can be read by others (mode {mode:04o}): chmod 600 {file}")
            return None
        text = file.read_text(encoding="ascii").strip()
    except OSError as error:
        problems.append(f"{setting}: {file} cannot be read: {error.strerror}")
        return None
    except UnicodeDecodeError:  # its message repeats bytes of the file
        problems.append(f"{setting}: {file} is no text of letters and digits; put the key alone into it")
        return None
    if not text or len(text.split()) != 1:
        problems.append(f"{setting}: {file} holds {len(text.split())} words; put the key alone into it")
        return None
    return text


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
