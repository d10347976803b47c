"""Errors about keys, besides those of access.

Owns: why a right key may be refused, and why changed keys aren't taken.
Refuses to know: who is asking.
"""

from __future__ import annotations

from appliance.errors import ApplianceError, CapacityError


class TooManyWrongKeysError(CapacityError):
    """Too many wrong keys came from this address; see that the right one is sent, and wait."""

    code = "too_many_wrong_keys"
    status = 429


class KeysUnusableError(ApplianceError):
    """The file of created keys can't be used, so the keys are as before."""

    code = "keys_unusable"
