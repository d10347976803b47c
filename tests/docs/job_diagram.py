"""diagrams/life-of-a-job.puml, made of the statements of the store that change a job's state."""

from __future__ import annotations

import re

from appliance.store.jobs import ENDED, STATES
from appliance.store.statements import STATEMENTS

CAUSES = {
    "begin": "has a turn; after a kill\\nor a restart it goes on",
    "queue": "waits for a voice, room on the disk\\nor other work",
    "pause": "asked for",
    "resume": "asked for",
    "retry": "asked for; what is spoken stays",
    "cancel": "asked for",
    "fail": "an error that isn't a passing one",
    "complete": "its audio is on the disk",
    "lose": "its audio is gone",
    "delete": "asked for,\\nor after jobs.keep_days",
}
"""Why each change comes; a change that isn't named here stops the generation."""
SELDOM = {("running", "running")}
"""Changes that lead nowhere."""
_TO = re.compile(r"\AUPDATE jobs SET state = '(\w+)'")
_FROM = re.compile(r"\bstate (?:= '(\w+)'|IN \(([^)]+)\))")


def changes() -> list[tuple[str, str, str]]:
    """Each change of a job's state: from, to and the name of the change; a deleted job's state is `[*]`."""
    found = []
    for statement, text in STATEMENTS.items():
        to = _TO.match(text)
        if to is None and statement != "delete_job":
            continue
        before = _FROM.search(text.split("WHERE", 1)[1])
        if before is None:
            continue
        names = [before[1]] if before[1] else re.findall(r"'(\w+)'", before[2])
        goal = to[1] if to else "[*]"
        found += [(name, goal, statement.removesuffix("_job")) for name in names]
    return [change for change in found if change[:2] not in SELDOM]


def diagram() -> str:
    """The text of the diagram."""
    [first] = re.findall(r":created_at, '(\w+)'", STATEMENTS["put_job"])
    arrows = "".join(
        f"{before} --> {after} : {change}: {CAUSES[change]}\n" for before, after, change in changes()
    )
    return (
        "@startuml\n"
        "' Written by `make docs` from appliance/store/queries.sql.\n"
        "title Each change of a job is one transaction, "
        "and of those that have ended only a failed one is tried again.\n"
        + "".join(f"state {state}{' #lightgrey' if state in ENDED else ''}\n" for state in STATES)
        + f"\n[*] --> {first} : accepted, its text is on the disk\n{arrows}@enduml\n"
    )
