"""The page at `/`, the operator's console at `/admin`, and the files that they load.

Owns: which files are served, to whom, their types and the Content-Security-Policy.
Refuses to know: what is in them.
"""

from __future__ import annotations

from importlib import resources

from aiohttp import web

from processes.gateway.access import AccessRules, Handler, guarded
from processes.gateway.middleware import add_headers

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'"
)
FILES = {
    "/": ("index.html", "text/html"),
    "/page/app.js": ("app.js", "text/javascript"),
    "/page/api.js": ("api.js", "text/javascript"),
    "/page/audio_files.js": ("audio_files.js", "text/javascript"),
    "/page/client_checks.js": ("client_checks.js", "text/javascript"),
    "/page/client_settings.js": ("client_settings.js", "text/javascript"),
    "/page/clients.js": ("clients.js", "text/javascript"),
    "/page/copying.js": ("copying.js", "text/javascript"),
    "/page/dictionary.js": ("dictionary.js", "text/javascript"),
    "/page/dictionary_api.js": ("dictionary_api.js", "text/javascript"),
    "/page/elements.js": ("elements.js", "text/javascript"),
    "/page/gallery.js": ("gallery.js", "text/javascript"),
    "/page/job_card.js": ("job_card.js", "text/javascript"),
    "/page/job_events.js": ("job_events.js", "text/javascript"),
    "/page/job_order.js": ("job_order.js", "text/javascript"),
    "/page/job_result.js": ("job_result.js", "text/javascript"),
    "/page/job_words.js": ("job_words.js", "text/javascript"),
    "/page/jobs.js": ("jobs.js", "text/javascript"),
    "/page/playground.js": ("playground.js", "text/javascript"),
    "/page/running_words.js": ("running_words.js", "text/javascript"),
    "/page/samples.js": ("samples.js", "text/javascript"),
    "/page/saving.js": ("saving.js", "text/javascript"),
    "/page/server_events.js": ("server_events.js", "text/javascript"),
    "/page/sound.js": ("sound.js", "text/javascript"),
    "/page/speaking.js": ("speaking.js", "text/javascript"),
    "/page/storage.js": ("storage.js", "text/javascript"),
    "/page/text_field.js": ("text_field.js", "text/javascript"),
    "/page/texts.js": ("texts.js", "text/javascript"),
    "/page/texts_en.js": ("texts_en.js", "text/javascript"),
    "/page/texts_pl.js": ("texts_pl.js", "text/javascript"),
    "/page/transcript.js": ("transcript.js", "text/javascript"),
    "/page/voices.js": ("voices.js", "text/javascript"),
    "/page/style.css": ("style.css", "text/css"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Path → file and media type. A closed list: no path from the network opens a file."""
CONSOLE_FILES = {
    "/admin": ("console.html", "text/html"),
    "/page/console.js": ("console.js", "text/javascript"),
    "/page/console_past.js": ("console_past.js", "text/javascript"),
    "/page/console_plots.js": ("console_plots.js", "text/javascript"),
    "/page/console_tables.js": ("console_tables.js", "text/javascript"),
    "/page/console_words.js": ("console_words.js", "text/javascript"),
    "/page/console.css": ("console.css", "text/css"),
}
"""Likewise, for the admin networks alone, and only where there is an admin key that could be typed."""


def add_page(app: web.Application) -> None:
    """Read the pages' files and route to them."""
    folder = resources.files("processes.gateway") / "page"
    for path, (name, media_type) in FILES.items():
        app.router.add_get(path, _handler((folder / name).read_bytes(), media_type))
    check = guarded(AccessRules.check_console)
    for path, (name, media_type) in CONSOLE_FILES.items():
        app.router.add_get(path, check(_handler((folder / name).read_bytes(), media_type)))


def _handler(data: bytes, media_type: str) -> Handler:
    async def get_file(request: web.Request) -> web.StreamResponse:
        response = web.Response(body=data, content_type=media_type, charset="utf-8")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-cache"
        add_headers(request, response)
        return response

    return get_file
