"""Which model names the appliance answers to.

Owns: the list behind `GET /v1/models` and the check of a request's `model`.
Refuses to know: what a model would do; here every model speaks with the voice that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

from appliance.errors import ModelNotFoundError


class ModelList:
    """Model names from `config/voices.toml`; a trailing `*` takes every name that begins so."""

    def __init__(self, models: Mapping[str, str]) -> None:
        """Take the table of names and descriptions."""
        self._descriptions = {name: text for name, text in models.items() if not name.endswith("*")}
        self._prefixes = tuple(name[:-1] for name in models if name.endswith("*"))

    def ids(self) -> list[str]:
        """Return the names that are listed."""
        return list(self._descriptions)

    def check(self, name: str) -> None:
        """Refuse a model that the appliance doesn't answer to.

        Raises:
            ModelNotFoundError: The name isn't listed and has no listed prefix.
        """
        if name not in self._descriptions and not (self._prefixes and name.startswith(self._prefixes)):
            message = f"No model is called {name[:80]!r}; GET /v1/models lists them"
            raise ModelNotFoundError(message, param="model")
