"""A scenario in the page's address: deflated, base64, bounded in both directions."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Final

from advisor.errors import InputError

MAX_TEXT_BYTES: Final = 64 * 1024
MAX_ADDRESS: Final = 6000  # longer addresses are cut by mail programs and proxies


def packed(text: str) -> str | None:
    """The text for an address, or None if it is too long for one."""
    code = base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")
    return code if len(code) <= MAX_ADDRESS and len(text.encode()) <= MAX_TEXT_BYTES else None


def unpacked(code: str) -> str:
    """The text in an address.

    Raises:
        InputError: cut off, not made by `packed`, or too large when inflated.
    """
    try:
        raw = base64.urlsafe_b64decode(code[:MAX_ADDRESS] + "=" * (-len(code[:MAX_ADDRESS]) % 4))
        inflater = zlib.decompressobj()
        text = inflater.decompress(raw, MAX_TEXT_BYTES).decode()
    except (binascii.Error, zlib.error, ValueError):
        raise InputError(_UNREADABLE) from None
    if inflater.unconsumed_tail:
        raise InputError(
            f"the address: holds a scenario of more than {MAX_TEXT_BYTES:,} bytes. Ask for the file instead."
        )
    if not inflater.eof:
        raise InputError(_UNREADABLE)
    return text


_UNREADABLE: Final = "the address: holds no scenario that can be read. Ask for the file instead."
