"""What `ttsctl doctor` checks of voices: imports, the files of imported ones, who speaks for whom.

Owns: what is well and what isn't, and what to do about it.
Refuses to know: how a voice is imported and spoken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from appliance.errors import ConfigurationError
from appliance.imports_beside import read_all_imports
from appliance.pools import unserved
from appliance.settings import Settings
from appliance.voice_imports import ImportState, missing_models
from appliance.voice_store import MANIFEST_FILE, VoiceManifest, VoiceStore
from appliance.voices import FALLBACK_ENGINE, Variant, Voice, VoiceCatalog, VoicesFile, read_voices_file
from processes.ttsctl.check import Check
from processes.ttsctl.checks.configuration import SETTINGS_WRONG
from processes.ttsctl.finding import Finding, failure, ok, unseen, warning
from processes.ttsctl.patient import Patient
from processes.ttsctl.remedies import apply_changes, shell

IMPORT_FAILED = warning("import_failed", "the last import of a voice has failed")
NOT_IMPORTED = warning("voice_not_imported", "`voices.import` names a model that isn't there, nor under way")
VOICE_DAMAGED = failure("voice_damaged", "a file of an imported voice is missing, or isn't what it was")
VOICE_UNREADABLE = failure("voice_unreadable", "a `voice.json` can't be read, or is of a later version")
VOICE_UNSERVED = warning("voice_unserved", "there are voices of an engine that has no worker")
FALLBACK_LOST = warning("fallback_lost", "`[fallbacks]` names a voice that espeak-ng hasn't, or is needless")

VERIFIED_BYTES = 268_435_456
"""Of voices, read to the last byte; beyond it their files' sizes alone are compared."""
MAX_NAMED = 4
NO_GATEWAY = "the gateway doesn't answer"


def check_imports(patient: Patient) -> Finding:
    """Imports that have failed, and voices that are wanted and not there."""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    imports = read_all_imports(patient.run_dir, patient.settings.data.dir)
    under_way = {each.model for each in imports if each.is_under_way}
    missing = list(missing_models(patient.settings, VoiceStore(patient.settings.data.dir)))
    failed = [each for each in imports if each.state is ImportState.FAILED]
    if failed:
        named = _listed([f"{each.model}: {each.reason}" for each in failed], "; ")
        command = _try_again(patient.settings, failed[0].model)
        return IMPORT_FAILED.found(
            named, "mend what it says (docs/operate/voices.md), and try again", command
        )
    lacking = [model for model in missing if model not in under_way]
    if lacking and patient.is_there:
        command = _try_again(patient.settings, lacking[0])
        return NOT_IMPORTED.found(f"not there: {_listed(lacking, ', ')}", "import it", command)
    return ok(f"{len(under_way)} under way, {len(missing)} of voices.import yet to come")


def _listed(entries: list[str], separator: str) -> str:
    """Return the first entries, and how many there are besides."""
    more = len(entries) - MAX_NAMED
    shown = separator.join(entries[:MAX_NAMED])
    return f"{shown}, and {more} more" if more > 0 else shown


def _try_again(settings: Settings, model: str) -> str:
    """Return the command that imports a model, where that is done here; else the other container's."""
    if settings.importer.elsewhere and model in settings.voices.wanted:
        return "docker compose up -d importer"
    return shell("ttsctl", "voices", "import", model)


def check_voice_files(patient: Patient) -> Finding:
    """Each imported voice's files against what was recorded at its import."""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    store = VoiceStore(patient.settings.data.dir)
    count, left_bytes = 0, VERIFIED_BYTES
    for path in sorted(store.folder.glob(f"[!.]*/{MANIFEST_FILE}")):
        name = path.parent.name
        try:
            manifest = store.read(name)
        except ConfigurationError as error:
            command = shell("ttsctl", "voices", "remove", name)
            return VOICE_UNREADABLE.found(error.message, "take it away, and import it again", command)
        size = manifest.size_bytes
        try:
            _verify(store, manifest, is_wholly=size <= left_bytes)
        except ConfigurationError as error:
            return VOICE_DAMAGED.found(error.message, "import it again", _import_again(manifest))
        count, left_bytes = count + 1, left_bytes - size
    return ok(
        f"{count} imported voices, {'all' if left_bytes >= 0 else 'some'} of them read to the last byte"
    )


def _verify(store: VoiceStore, manifest: VoiceManifest, *, is_wholly: bool) -> None:
    """Compare a voice's files with its manifest, wholly or by their sizes.

    Raises:
        ConfigurationError: One is missing or another.
    """
    if is_wholly:
        store.verify(manifest)
        return
    for name, record in manifest.files.items():
        path = store.path(manifest.id) / name
        if not path.is_file() or path.stat().st_size != record.bytes:
            raise ConfigurationError(f"{path}: isn't the file that belongs to the voice")


def _import_again(manifest: VoiceManifest) -> str:
    source = "DIR" if manifest.model == "checkpoint" else manifest.model
    return shell("ttsctl", "voices", "import", source, "--id", manifest.id)


def check_voice_workers(patient: Patient) -> Finding:
    """Imported voices against the workers that could speak them."""
    if patient.imported is None:
        return unseen(NO_GATEWAY)
    engines = {voice["engine"] for voice in patient.imported.get("voices", ())}
    unspoken = unserved(patient.pools, engines)
    seen = f"{len(patient.imported.get('voices', ()))} imported voices"
    if unspoken:
        seen = f"{seen}, and no worker of {' and '.join(unspoken)}"
        return VOICE_UNSERVED.found(seen, f"give it {' and '.join(unspoken)} workers", apply_changes(patient))
    return ok(seen)


def check_fallbacks(patient: Patient) -> Finding:
    """The voices that `[fallbacks]` names, against those that there are."""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    file = patient.settings.config_dir() / patient.settings.voices.file
    names = read_voices_file(file)
    if not names.fallbacks:
        return ok("none is set")
    if patient.voices is None:
        return unseen(NO_GATEWAY)
    catalog = _espeaks_catalog(patient.settings, names, patient.voices)
    if not catalog.voices():
        seen = f"{FALLBACK_ENGINE} has no voice, so nobody speaks for another"
        return FALLBACK_LOST.found(seen, "see workers", "ttsctl status")
    faults = list(_faults(catalog))
    if not faults:
        return ok(f"{len(names.fallbacks)} set")
    advice = f"mend [fallbacks] in {file}, then restart the gateway"
    return FALLBACK_LOST.found("; ".join(faults[:MAX_NAMED]), advice, "ttsctl supervisorctl restart gateway")


def _faults(catalog: VoiceCatalog) -> Iterator[str]:
    for name, by in catalog.lost_fallbacks().items():
        yield f"{name} = {by}: {FALLBACK_ENGINE} has no such voice"
    for name in catalog.needless_fallbacks():
        yield f"{name} is {FALLBACK_ENGINE}'s own and needs none"


def _espeaks_catalog(settings: Settings, names: VoicesFile, listed: dict[str, Any]) -> VoiceCatalog:
    """Return the voices that may speak for others, with the names of a file.

    Args:
        settings: Name the default voice.
        names: The file.
        listed: The answer of GET /v1/audio/voices.
    """
    catalog = VoiceCatalog(names.aliases, settings.voices.default, names.fallbacks)
    voices, variants = (
        [each for each in listed[name] if each["engine"] == FALLBACK_ENGINE]
        for name in ("voices", "variants")
    )
    known = {field.name for field in fields(Voice)}
    catalog.replace(
        FALLBACK_ENGINE,
        [Voice.from_dict({name: each[name] for name in known}) for each in voices],
        map(Variant.from_dict, variants),
    )
    return catalog


CHECKS = {
    "imports": Check(check_imports, (IMPORT_FAILED, NOT_IMPORTED), "imports that failed, voices yet to come"),
    "voice_files": Check(
        check_voice_files,
        (VOICE_UNREADABLE, VOICE_DAMAGED),
        "each imported voice's files against what was recorded at its import",
    ),
    "voice_workers": Check(check_voice_workers, (VOICE_UNSERVED,), "imported voices that nobody can speak"),
    "fallbacks": Check(
        check_fallbacks, (FALLBACK_LOST,), "`[fallbacks]` of `voices.toml` against the voices"
    ),
}
