"""What a caller may do.

Owns: the Host allow-list, who needs a key, the admin guard, foreign origins.
Refuses to know: which keys there are (`keyring`), how an address is told (`caller`), and routes' work. A
guard is bound to the route (a decorator), never to a path's prefix. Source: OWASP ASVS 5.0, 8.4.2.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from loguru import logger

from appliance.errors import (
    AdminNetworkError,
    ApplianceError,
    AuthenticationError,
    HostNotAllowedError,
    InvalidRequestError,
    OriginNotAllowedError,
    RouteNotFoundError,
)
from appliance.key_errors import TooManyWrongKeysError
from appliance.key_records import Role
from appliance.metrics import GatewayMetrics
from appliance.settings import Settings
from processes.gateway.caller import PROXY_SOCKET_PEER, Address, CallerReader, is_in, parse_address
from processes.gateway.keyring import KeyOwner, Keyring
from processes.gateway.wrong_keys import WrongKeys

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOCAL_SUFFIXES = (".local", ".lan", ".home.arpa")
LOCAL_NAMES = ("host.docker.internal",)
HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")
UNDECLARED_PROXY = (
    "A reverse proxy that http.trusted_proxies doesn't name passed this on, so nobody can tell who asks"
)


class AccessRules:
    """The access part of the settings, ready to be asked."""

    def __init__(self, settings: Settings, metrics: GatewayMetrics) -> None:
        """Read the files of keys and the networks.

        Raises:
            ConfigurationError: A file of keys can't be read, is broken or empty, or others may read it.
        """
        self._admin_networks = [ipaddress.ip_network(each) for each in settings.admin.networks]
        self._callers = CallerReader(settings.http.trusted_proxies)
        self._hosts = {name.lower() for name in settings.http.allowed_hosts}
        self._origins = set(settings.http.cors_origins)
        self.keys = Keyring(settings)
        self._wrong_keys = WrongKeys(settings.http.wrong_keys_per_min)
        self._has_public_lists = settings.http.public_lists
        self._metrics = metrics

    def address(self, request: web.Request) -> Address | None:
        """Return the caller's address; None on `run/gateway.sock` or where it can't be told."""
        return self._callers.address(_peer(request), request.headers)

    def is_proxy(self, peer: str) -> bool:
        """Return whether a peer is a reverse proxy that the settings name; see `CallerReader`."""
        return self._callers.is_proxy(peer)

    def client(self, request: web.Request) -> str:
        """Return the name under which a caller's requests take turns with others'."""
        owner = self._key_owner(request)
        if owner is not None:
            return owner.client
        user = request.headers.get("X-OpenWebUI-User-Id", "")
        if user and (is_on_socket(request) or self.is_proxy(_peer(request))):
            return f"user:{user[:64]}"
        return f"address:{self.address(request)}"

    def check_host(self, request: web.Request) -> None:
        """Refuse a Host that names somebody else: a page that rebinds its name to our address.

        A request without any Host (HTTP/1.0) comes from no browser, so no page has rebound its name.

        Raises:
            HostNotAllowedError: The name isn't local and isn't in `http.allowed_hosts`.
            InvalidRequestError: It isn't a host name at all.
        """
        if is_on_socket(request) or "Host" not in request.headers:
            return
        name = _host_name(request)
        is_allowed = (
            parse_address(name) is not None
            or "." not in name
            or name.endswith(LOCAL_SUFFIXES)
            or name in LOCAL_NAMES
            or name in self._hosts
        )
        if not is_allowed:
            raise self._denied("host", HostNotAllowedError(), request)

    def allowed_origin(self, request: web.Request) -> str | None:
        """Return the foreign origin that may read this answer, or None."""
        origin = request.headers.get("Origin")
        return origin if origin and ({"*", origin} & self._origins) else None

    def check_origin(self, request: web.Request) -> None:
        """Refuse what a page of another site does in the name of its visitor.

        Browsers name the page's origin with every POST and with what a script reads, but not with what a page
        merely loads, such as a sound. Then they tell by Sec-Fetch-Site that it comes from another site, but
        only if the appliance is reached by https or as localhost; see `check_referer`.

        Raises:
            OriginNotAllowedError: The origin is foreign and CORS doesn't allow it.
        """
        origin = request.headers.get("Origin")
        if origin is not None:
            is_foreign = not self._is_welcome(origin, request)
        else:
            is_cross_site = request.headers.get("Sec-Fetch-Site") == "cross-site"
            is_foreign = is_cross_site and not _is_navigation_to_page(request) and "*" not in self._origins
        if is_foreign:
            raise self._denied("origin", OriginNotAllowedError(), request)

    def check_referer(self, request: web.Request) -> None:
        """Refuse a GET that makes work for the page of another site, by the page's address in Referer.

        A request without one is let in: scripts and loudspeakers send none. So does a page that asks for
        `no-referrer`; where Sec-Fetch-Site isn't sent either, nothing tells it from a loudspeaker. Such a
        page can make the appliance speak, though not listen to it.

        Raises:
            OriginNotAllowedError: The page's origin is foreign and CORS doesn't allow it.
        """
        referer = request.headers.get("Referer")
        if referer and "Origin" not in request.headers and not self._is_welcome(_origin(referer), request):
            raise self._denied("origin", OriginNotAllowedError(), request)

    def _is_welcome(self, origin: str, request: web.Request) -> bool:
        """Return whether pages of an origin may use the API: our own, and those that CORS allows."""
        return _authority(origin) == request.host.lower() or bool({"*", origin} & self._origins)

    def check_api_key(self, request: web.Request) -> None:
        """Refuse a caller without an API key, where keys are in force.

        Raises:
            AuthenticationError: The key is missing or unknown.
            TooManyWrongKeysError: Too many wrong ones came from there.
        """
        if not self.keys.is_in_force or is_on_socket(request):
            return
        owner = self._checked_owner(request)
        if owner is None:
            raise self._denied("api_key", AuthenticationError(), request)
        self.keys.note_use(owner)

    def check_jobs(self, request: web.Request) -> None:
        """Refuse whoever may list no jobs: with keys in force one without, else all but operators.

        Raises:
            AuthenticationError, AdminNetworkError, RouteNotFoundError, TooManyWrongKeysError: As
                `check_api_key` or `check_admin`.
        """
        if self.keys.is_in_force:
            self.check_api_key(request)
        else:
            self.check_admin(request)

    def owner(self, request: web.Request) -> str:
        """Return whose a caller's jobs are: a hash for its key, or nothing without keys in force."""
        owner = self._key_owner(request) if self.keys.is_in_force else None
        return "" if owner is None else owner.jobs

    def may_see(self, request: web.Request, owner: str) -> bool:
        """Return whether a caller may see a job whose id it knows; without keys the id is all it needs."""
        is_own = bool(owner) and owner == self.owner(request)
        return not self.keys.is_in_force or is_own or self.is_operator(request)

    def is_operator(self, request: web.Request) -> bool:
        """Return whether `check_admin` would let a caller pass; a wrong key counts as there."""
        if is_on_socket(request):
            return True
        try:
            is_asked = self._is_near(request) and self.keys.has_admin
            owner = self._checked_owner(request) if is_asked else None
        except TooManyWrongKeysError:
            return False
        return owner is not None and owner.role is Role.ADMIN

    def check_list_key(self, request: web.Request) -> None:
        """As `check_api_key`, but lists may be public: Open WebUI asks for them without a key."""
        if not self._has_public_lists:
            self.check_api_key(request)

    def check_admin_network(self, request: web.Request) -> None:
        """Refuse a caller outside of the admin networks.

        Who is refused and says by a header to be inside is counted as `spoof`, too.

        Raises:
            AdminNetworkError: The address lies outside or can't be told, or a proxy that we don't know asks.
        """
        if is_on_socket(request) or self._is_near(request):
            return
        address = self.address(request)
        if address is not None and is_in(address, self._admin_networks):
            raise self._denied("admin_network", AdminNetworkError(UNDECLARED_PROXY), request)
        claims = self._callers.claims(_peer(request), request.headers)
        if any(is_in(claim, self._admin_networks) for claim in claims):
            self._metrics.security_denied.labels("spoof").inc()
        raise self._denied("admin_network", AdminNetworkError(), request)

    def _is_near(self, request: web.Request) -> bool:
        """Return whether a caller is in an admin network, and nobody stands between that we don't know."""
        address = self.address(request)
        is_inside = address is not None and is_in(address, self._admin_networks)
        return is_inside and not self._callers.is_undeclared_proxy(_peer(request), request.headers)

    def check_console(self, request: web.Request) -> None:
        """Refuse a caller outside of the admin networks, and everybody where there is no admin key.

        A browser asks for a page without a key. What the page shows and does it asks for with one.

        Raises:
            AdminNetworkError: The address lies outside of the admin networks.
            RouteNotFoundError: There is no admin key: the page exists on `run/gateway.sock` only.
        """
        self.check_admin_network(request)
        if not is_on_socket(request) and not self.keys.has_admin:
            raise RouteNotFoundError

    def check_admin(self, request: web.Request) -> None:
        """Refuse a caller without both an admin network's address and an admin key.

        Raises:
            RouteNotFoundError: There is no admin key: the route exists on `run/gateway.sock` only.
            AdminNetworkError: The address lies outside of the admin networks.
            AuthenticationError: The key is missing or wrong.
            TooManyWrongKeysError: Too many wrong ones came from there.
        """
        if is_on_socket(request):
            return
        self.check_console(request)
        owner = self._checked_owner(request)
        if owner is None or owner.role is not Role.ADMIN:
            raise self._denied("admin_key", AuthenticationError("The admin key is missing or wrong"), request)
        self.keys.note_use(owner)

    def _key_owner(self, request: web.Request) -> KeyOwner | None:
        key = _shown_key(request)
        return self.keys.find(key) if key else None

    def _checked_owner(self, request: web.Request) -> KeyOwner | None:
        """Return whose key a caller shows, and count it if it is a wrong one.

        Raises:
            TooManyWrongKeysError: Too many wrong ones came from there; see `wrong_keys`.
        """
        owner = self._key_owner(request)
        try:
            if owner is None and _shown_key(request):
                self._wrong_keys.note(self.address(request))
            elif owner is not None and owner.is_guessable:
                self._wrong_keys.check(self.address(request))
        except TooManyWrongKeysError as error:
            raise self._denied("wrong_keys", error, request) from None
        return owner

    def _denied(self, rule: str, error: ApplianceError, request: web.Request) -> ApplianceError:
        self._metrics.security_denied.labels(rule).inc()
        caller = self.address(request)
        logger.warning(
            "access_denied",
            rule=rule,
            peer=_peer(request),
            caller=None if caller is None else str(caller),
            method=request.method,
        )
        return error


def guarded(check: Callable[[AccessRules, web.Request], None]) -> Callable[[Handler], Handler]:
    """Bind a check of `AccessRules` to a handler.

    Args:
        check: For example `AccessRules.check_admin`.
    """

    def bind(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def checked(request: web.Request) -> web.StreamResponse:
            check(request.app[ACCESS_KEY], request)
            return await handler(request)

        return checked

    return bind


ACCESS_KEY = web.AppKey("access", AccessRules)


LOCAL_KEY = web.AppKey("is_local", bool)
"""Whether an application is served on `run/gateway.sock` and nowhere else."""


def is_on_socket(request: web.Request) -> bool:
    """Return whether a request came over `run/gateway.sock`, which only this user can reach."""
    return request.app[LOCAL_KEY]


def _peer(request: web.Request) -> str:
    """Return the address at the other end of the connection, or `PROXY_SOCKET_PEER`; empty for neither."""
    transport = request.transport
    is_unix = transport is not None and isinstance(transport.get_extra_info("sockname"), str | bytes)
    return PROXY_SOCKET_PEER if is_unix and not is_on_socket(request) else request.remote or ""


def _host_name(request: web.Request) -> str:
    """Return the name that a request is addressed to, in lower case and without its port."""
    try:
        name = (request.url.host or "").lower().rstrip(".")
    except ValueError:
        name = ""
    if parse_address(name) is None and not HOST_NAME.fullmatch(name):
        message = "The Host header isn't a host name"
        raise InvalidRequestError(message)
    return name


def _shown_key(request: web.Request) -> str:
    """Return the key that a request shows: as a bearer, or as ElevenLabs' clients send theirs."""
    if "Authorization" not in request.headers:
        return request.headers.get("xi-api-key", "").strip()
    scheme, _, key = request.headers["Authorization"].partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _authority(origin: str) -> str:
    """Return host and port of an origin or address in lower case; nothing for one that has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _origin(address: str) -> str:
    """Return the origin of a page's address, in lower case; nothing for one that has none."""
    scheme, _, _ = address.partition(":")
    authority = _authority(address)
    return f"{scheme.lower()}://{authority}" if authority else ""


def _is_navigation_to_page(request: web.Request) -> bool:
    return request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate"
