"""docs/settings.md and config/appliance.toml, made of `appliance.settings`."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import annotated_types
from pydantic.fields import FieldInfo

from appliance.engine_settings import Section
from appliance.engine_settings import settings_of as keys_of
from appliance.settings import PREFIX, ROOT, Settings

UNITS = {"_s": "seconds", "_bytes": "bytes", "_chars": "characters", "_chunks": "chunks"}
BOUNDS = {
    annotated_types.Ge: ("ge", "at least {}"),
    annotated_types.Gt: ("gt", "above {}"),
    annotated_types.Le: ("le", "at most {}"),
    annotated_types.Lt: ("lt", "below {}"),
    annotated_types.MinLen: ("min_length", "not empty"),
    annotated_types.MaxLen: ("max_length", "at most {}"),
}
TYPES = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "folder"}

PAGE_HEAD = """\
# Settings

```sh
APPLIANCE_HTTP_PORT=8080 make run    # for one run; in config/appliance.toml for good
```

Written by `make docs` from the code.
A setting stands in `config/appliance.toml` under its section;
its environment variable wins over the file.
Lists are written with commas in the environment: `APPLIANCE_HTTP_ALLOWED_HOSTS=speech.example,tts.example`.
An unknown setting or a value out of its bounds ends the launcher
with exit code 78 and one line that says which.
Settings are read at start only.
When to change one: [operate/configure.md](operate/configure.md).

`APPLIANCE_CONFIG` names another settings file; the file of voice names is looked up beside it.
Keys that stand in the environment, `APPLIANCE_HTTP_API_KEYS` and `APPLIANCE_ADMIN_KEY`,
and `APPLIANCE_ENV_FILE` are no settings: [operate/keys.md](operate/keys.md).
The default folders lie in the checkout;
write yours as an absolute path.
"""

FILE_HEAD = """\
# Settings of the TTS appliance: take the # away in front of a setting to change it.
# Bounds and units: docs/settings.md. When to change what: docs/operate/configure.md.
# APPLIANCE_<SECTION>_<KEY> in the environment wins over this file, for example APPLIANCE_HTTP_PORT=8080.
"""


@dataclass(frozen=True)
class Setting:
    """One setting as the documents show it."""

    section: str
    key: str
    type_text: str
    default: Any
    bounds: str
    description: str

    @property
    def variable(self) -> str:
        return f"{PREFIX}{self.section}_{self.key}".upper()

    @property
    def toml_default(self) -> str:
        """The default as TOML writes it; strings, numbers and lists are written as in JSON."""
        return json.dumps(self.default, ensure_ascii=False)


def sections() -> dict[str, type[Section]]:
    """Every section of the settings by its name."""
    return {name: typing.cast("type[Section]", field.annotation) for name, field in keys_of(Settings).items()}


def settings_of(section: str) -> list[Setting]:
    return [_setting(section, key, field) for key, field in keys_of(sections()[section]).items()]


def page() -> str:
    """The text of docs/settings.md."""
    return PAGE_HEAD + "".join(map(_page_section, sections()))


def settings_file() -> str:
    """The text of config/appliance.toml."""
    return FILE_HEAD + "".join(_file_section(name, section) for name, section in sections().items())


def _page_section(name: str) -> str:
    rows = (
        f"| `{each.key}` | `{each.variable}` | {each.type_text} | `{each.toml_default}` | {each.bounds} "
        f"| {each.description.replace('|', chr(92) + '|')} |\n"
        for each in settings_of(name)
    )
    head = "| setting | in the environment | type | default | bounds | meaning |\n|---|---|---|---|---|---|\n"
    return f"\n## {name}\n\n{_first_line(sections()[name])}\n\n{head}{''.join(rows)}"


def _file_section(name: str, section: type[Section]) -> str:
    lines = (f"# {each.description}\n# {each.key} = {each.toml_default}\n" for each in settings_of(name))
    return f"\n# {_first_line(section)}\n[{name}]\n{''.join(lines)}"


def _setting(section: str, key: str, field: FieldInfo) -> Setting:
    return Setting(
        section,
        key,
        _type_text(key, field.annotation),
        _plain(field.default),
        ", ".join(_bounds(field)),
        field.description or "",
    )


def _type_text(key: str, annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    if typing.get_origin(annotation) is tuple:
        return "list of texts"
    assert not isinstance(annotation, types.UnionType)
    unit = next((word for suffix, word in UNITS.items() if key.endswith(suffix)), "")
    return unit or TYPES[annotation]


def _bounds(field: FieldInfo) -> Iterator[str]:
    for bound in field.metadata:
        attribute, text = BOUNDS[type(bound)]
        value = getattr(bound, attribute)
        yield text.format(f"{value:,}" if isinstance(value, int) else value)


def _plain(value: Any) -> Any:
    """A default without the place of this checkout."""
    match value:
        case Path():
            return str(value.relative_to(ROOT))
        case tuple():
            return list(value)
        case _:
            return value


def _first_line(model: type[Section]) -> str:
    return (model.__doc__ or "").splitlines()[0]
