"""docs/operate/doctor.md, made of the checks of `ttsctl doctor`."""

from __future__ import annotations

from processes.ttsctl.check import OF_ANY, Check
from processes.ttsctl.doctor import CHECKS
from processes.ttsctl.finding import Fault, Verdict

PAGE_HEAD = """\
# What doctor checks

```sh
.venv/bin/ttsctl doctor
.venv/bin/ttsctl doctor --json
```

Written by `make docs` from the code.
`ttsctl doctor` looks at each of these, changes nothing, and ends within half a minute, whatever hangs.
Run it as the user that runs the appliance; while that runs, its own settings count and not your shell's.

```
fail    ports     http: 8000 on 0.0.0.0: Address already in use
                  do: find out who has it, or set http.port
                  run: ss -ltnp 'sport = :8000'

49 ok, 0 unseen, 2 hints, 0 to look at, 1 to mend
begin with ports: ss -ltnp 'sport = :8000'
```

The order is from causes to what they cause.
The last line names the first of the worst, which is where to begin.

| verdict | means | exit code |
|---|---|---|
| `ok` | all is well | 0 |
| `unseen` | it can't be told, for a reason that another check names | 0 |
| `hint` | nothing is wrong; you may want it otherwise | 0 |
| `warn` | it works, but not as it should, or couldn't be looked at | 1 |
| `fail` | somebody has to do something now | 2 |

The exit code is that of the worst verdict.
A fault's code never changes: it is for programs, as `fault` of the [JSON](ttsctl.md#json).
"""
TABLE_HEAD = "| check | looks at |\n|---|---|\n"
FAULTS_HEAD = "\n## Faults\n\n| check | verdict | fault | what is wrong |\n|---|---|---|---|\n"


def page() -> str:
    """The text of the page."""
    checks = "".join(f"| `{name}` | {check.what} |\n" for name, check in CHECKS.items())
    faults = "".join(_rows(name, check) for name, check in CHECKS.items())
    of_any = "".join(_row("any", fault) for fault in OF_ANY)
    head = f"{PAGE_HEAD}\n## Checks\n\nThere are {len(CHECKS)}.\n\n"
    return f"{head}{TABLE_HEAD}{checks}{FAULTS_HEAD}{faults}{of_any}"


def _rows(name: str, check: Check) -> str:
    worst_first = sorted(check.faults, key=lambda fault: -list(Verdict).index(fault.verdict))
    return "".join(_row(f"`{name}`", fault) for fault in worst_first)


def _row(check: str, fault: Fault) -> str:
    return f"| {check} | {fault.verdict} | `{fault.code}` | {fault.meaning} |\n"
