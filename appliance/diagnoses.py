"""What ails the appliance, as `ttsctl doctor` and the operator's console both say it.

Owns: what a failed request points to, and what to do about what the gateway itself knows to be wrong.
Refuses to know: how any of it is found out, and what only a look at the machine tells (`ttsctl doctor`).
"""

from __future__ import annotations

from typing import NamedTuple

from appliance.errors import ProtocolError, error_classes

REQUEST_ID = "{request_id}"
"""In a command: the request's id."""
NAME = "{name}"
"""In a command: the program's name."""
STATUS = "ttsctl status"
LOG = f"ttsctl logs --request={REQUEST_ID}"


class Remedy(NamedTuple):
    """What to do."""

    advice: str
    """In one line."""
    command: str
    """What mends it, or leads on, for a shell."""

    def of(self, name: str) -> Remedy:
        """Return it for a program of this name."""
        return Remedy(self.advice.replace(NAME, name), self.command.replace(NAME, name))


class Diagnosis(NamedTuple):
    """What a failure points to."""

    fault: str
    """That of `ttsctl doctor`, which shows it as long as it lasts."""
    cause: str
    advice: str
    command: str


_OUR_FAULT = "report it with the lines of the log that have its id"
_TEXT = Diagnosis(
    "requests_fail", "the text, which this voice can't say", "send another text, or another voice", LOG
)
_OURS = Diagnosis("requests_fail", "a fault of the appliance's own", _OUR_FAULT, LOG)
_ENGINE = Diagnosis(
    "requests_fail", "the engine, which failed on this text", "try another voice; see its worker's lines", LOG
)
_PROTOCOL = Diagnosis(
    "protocol_broken",
    "a worker that said what no worker says",
    "are all of one version? Start the workers anew; else report it with worker_lost of the log",
    "ttsctl restart --rolling",
)
FAILURES = {
    "engine_failed": _ENGINE,
    "synthesis_failed": _ENGINE,
    "unspeakable_text": _TEXT,
    "nothing_to_speak": _TEXT,
    "utterance_too_long": _TEXT,
    "poison_request": Diagnosis(
        "poison_request",
        "a text that had killed two workers",
        "report it with its request_id; it is free again after an hour",
        LOG,
    ),
    "worker_lost": Diagnosis(
        "died", "the worker, which ended while it spoke", "it was replaced; its lines say why it ended", LOG
    ),
    "synthesis_timeout": Diagnosis(
        "died_hung",
        "the worker, which came no further and was killed",
        "its stack is in the log: a machine too busy, a disk, or a fault of ours",
        "ttsctl logs --level=ERROR",
    ),
    "no_workers": Diagnosis("no_worker", "the engine, which had no worker", "see why it has none", STATUS),
    "overloaded": Diagnosis(
        "overloaded", "others' work, which kept it waiting for too long", "have more workers or cores", STATUS
    ),
    "voice_not_found": Diagnosis(
        "requests_fail",
        "the voice, which went while it waited",
        "see which voices there are",
        "ttsctl voices",
    ),
    "encoder_failed": _OURS,
    "internal_error": _OURS,
    **{each.code: _PROTOCOL for each in error_classes(ProtocolError)},
}
"""`ended_by` of a request that has failed or expired → what that points to."""
OTHER_FAILURE = Diagnosis(
    "requests_fail", "see the code in docs/errors.md", "see what the log has of it", LOG
)

_BACKUP = Remedy("store_failed in the log says why; put back a backup", "ttsctl backup restore newest")
_AGAIN = Remedy("ask again in some seconds", STATUS)
REMEDIES = {
    "draining": Remedy("let it take requests again", "ttsctl drain off"),
    "maintenance": Remedy("switch it off once the work is done", "ttsctl maintenance off"),
    "starting": _AGAIN,
    "probe_awaited": _AGAIN,
    "degraded": Remedy("see what the other checks name; ttsctl status has the problems", STATUS),
    "down": Remedy("see workers", STATUS),
    "overloaded": Remedy(
        'wait, or have more workers or cores: docs/operate/capacity.md, "How many workers"', STATUS
    ),
    "worker_missing": Remedy(
        "ttsctl status says how each ended; ttsctl supervisorctl tail NAME says why", STATUS
    ),
    "default_voice_missing": Remedy(
        "name one that there is in voices.default, then ttsctl config apply; or import it", "ttsctl voices"
    ),
    "probe_failed": Remedy(
        'docs/operate/troubleshooting.md, "It starts and says nothing"', "ttsctl supervisorctl tail gateway"
    ),
    "engine_probe_failed": Remedy("see its workers and their log", STATUS),
    "program_held": Remedy(
        "read why it ends (worker_…, engine_… and output in the log); it is tried again after 1 to 30 s, "
        f"and at once by ttsctl supervisorctl start {NAME}",
        f"ttsctl supervisorctl tail {NAME}",
    ),
    "program_given_up": Remedy(
        f"ttsctl logs --program={NAME} says more; then start it", f"ttsctl supervisorctl start {NAME}"
    ),
    "store_corrupt": _BACKUP,
    "store_failed": _BACKUP,
    "store_lost": Remedy("the broken one lies beside it; is a backup elsewhere?", "ttsctl backup list"),
    "store_restored": Remedy(
        "see what is missing since (store_replaced in the log); the next start says ok",
        "ttsctl supervisorctl restart gateway",
    ),
    "backup_found_damage": Remedy(
        "put back one from before the damage; what is there is kept", "ttsctl backup restore newest"
    ),
    "backup_failed": Remedy("see why: it says so, as does backup_failed in the log", "ttsctl backup create"),
}
"""Fault of `ttsctl doctor` that the gateway itself can see → what to do. Of others, doctor alone knows it."""
