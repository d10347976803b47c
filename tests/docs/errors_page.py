"""docs/errors.md and diagrams/what-can-go-wrong.puml, made of the tree in `appliance.errors`."""

from __future__ import annotations

import appliance.import_errors
import appliance.key_errors
import appliance.maintenance
import appliance.store.errors
import appliance.worker_errors  # noqa: F401 (so are these)
from appliance.errors import (
    ApplianceError,
    ConfigurationError,
    ProtocolError,
    default_message,
    error_classes,
)
from processes.gateway.answers import error_response, error_type

PAGE_HEAD = """\
# Errors

```sh
curl -s http://127.0.0.1:8000/v1/audio/speech -H 'Content-Type: application/json' -d '{"input": ""}'
```

```json
{
  "error": {
    "message": "The text holds nothing that can be spoken.",
    "type": "invalid_request_error",
    "param": "input",
    "code": "nothing_to_speak"
  }
}
```

Written by `make docs` from the code.
Every error answer has this shape with all four keys; `param` names the field at fault or is null.
`code` never changes its meaning, so programs go by `code` and people read `message`.
`X-Request-ID` comes with every answer and stands in the log.

*retry* says whether the same request may succeed later.
`Retry-After`, where the table names it, is a whole number of seconds, at least 1.
A lasting failure that must be a 5xx carries `X-Should-Retry: false`, which OpenAI's clients obey.

## Over HTTP

| code | status | type | retry | headers | default message |
|---|---|---|---|---|---|
"""
HTTP_FOOT = """
`internal_error` is what a fault of our own becomes;
the log has its traceback under the answer's `X-Request-ID`.
An answer that has begun can't become an error any more: the connection is broken off, and the log says why.
"""
PROTOCOL_HEAD = """
## On the workers' socket

These close one worker's connection and stand in the log and in `ttsctl status`; no client sees them.

| code | meaning |
|---|---|
"""
START_HEAD = """
## At the start

| code | exit code | meaning |
|---|---|---|
"""
SHOWN_HEADERS = ("Retry-After", "X-Should-Retry", "WWW-Authenticate")


def page() -> str:
    """The text of docs/errors.md."""
    http = (error_class for error_class in error_classes() if is_over_http(error_class))
    protocol = (error_class for error_class in error_classes() if issubclass(error_class, ProtocolError))
    return "".join(
        (
            PAGE_HEAD,
            *map(_http_row, sorted(http, key=lambda error_class: (error_class.status, error_class.code))),
            HTTP_FOOT,
            PROTOCOL_HEAD,
            *(f"| `{each.code}` | {default_message(each)} |\n" for each in protocol),
            START_HEAD,
            f"| `{ConfigurationError.code}` | 78 | {default_message(ConfigurationError)} |\n",
        )
    )


def is_over_http(error_class: type[ApplianceError]) -> bool:
    """Whether a client can get this error: a class without children, or the root itself."""
    is_inside = issubclass(error_class, ProtocolError | ConfigurationError)
    return not is_inside and (error_class is ApplianceError or not error_class.__subclasses__())


def diagram() -> str:
    """The text of diagrams/what-can-go-wrong.puml: the branches, their errors inside the boxes."""
    boxes = "".join(
        f"class {branch.__name__} {{\n{_members(branch)}}}\nApplianceError <|-- {branch.__name__}\n"
        for branch in _in_order(ApplianceError)
    )
    return f"""\
@startuml
' Written by `make docs` from appliance/errors.py.
title Every error has one class, one code and one HTTP status.
hide circle
hide empty members
left to right direction
class ApplianceError {{
  {ApplianceError.code} {ApplianceError.status}
}}
{boxes}@enduml
"""


def _in_order(branch: type[ApplianceError]) -> list[type[ApplianceError]]:
    """Return an error's children module by module, whichever of them was imported first."""
    return sorted(branch.__subclasses__(), key=lambda child: child.__module__)


def _members(branch: type[ApplianceError]) -> str:
    if not branch.__subclasses__():
        is_at_start = branch is ConfigurationError
        return f"  {branch.code}{': exit code 78' if is_at_start else f' {branch.status}'}\n"
    is_wire = branch is ProtocolError
    return "".join(
        f"  {child.code}{': closes the connection' if is_wire else f' {child.status}'}\n"
        for child in _in_order(branch)
    )


def _http_row(error_class: type[ApplianceError]) -> str:
    headers = error_response(error_class()).headers
    shown = ", ".join(
        f"`{name}`" if name == "Retry-After" else f"`{name}: {headers[name]}`"
        for name in SHOWN_HEADERS
        if name in headers
    )
    retry = "yes" if error_class.retryable else "no"
    message = default_message(error_class).replace("|", "\\|")
    status = error_class.status
    return f"| `{error_class.code}` | {status} | `{error_type(status)}` | {retry} | {shown} | {message} |\n"
