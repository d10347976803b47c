"""The Unix socket at which a reverse proxy on the same machine reaches the gateway.

Owns: opening it, who may connect to it, whether it can be opened at all.
Refuses to know: what is served there, and that a proxy's word about its clients is believed.

It lies outside of the run directory, which nobody but this user may enter. Its folder is the operator's own.
"""

from __future__ import annotations

import grp
import os
import socket
import stat
from pathlib import Path

from appliance.errors import ConfigurationError
from appliance.lifecycle import BACKLOG, bound_unix
from appliance.settings import Settings

GROUP_MODE = 0o660
"""Connecting takes the right to write. Source: unix(7), "Pathname socket ownership and permissions"."""
OWN_MODE = 0o600


def check_proxy_socket(settings: Settings) -> Path | None:
    """Return the path of the socket that the settings ask for, if it can be opened there; None for none.

    Raises:
        ConfigurationError: Its folder isn't there, is the run directory, or lets anybody replace the socket;
            or there is no such group, or this user isn't in it.
    """
    path = settings.http.proxy_socket_path()
    if path is None:
        return None
    _check_group(settings)
    shown = f"http.proxy_socket = {settings.http.proxy_socket!r}"
    if path.parent.resolve() == settings.run.dir.resolve():
        raise ConfigurationError(f"{shown}: must be outside of run.dir, which only this user may enter")
    try:
        mode = path.parent.stat().st_mode
    except OSError as error:
        message = f"{shown}: its folder can't be used: {error.strerror}; make it, and let the proxy enter it"
        raise ConfigurationError(message) from None
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        message = f"{shown}: anybody could replace the socket; chmod o-w {path.parent}"
        raise ConfigurationError(message)
    return path


def open_proxy_socket(settings: Settings) -> socket.socket | None:
    """Open the socket that the settings ask for, in place of one that a dead process left; None for none.

    Returns:
        Listening; the caller closes it.

    Raises:
        ConfigurationError: As `check_proxy_socket`, or somebody listens there already.
    """
    path = check_proxy_socket(settings)
    if path is None:
        return None
    with bound_unix(path, f"http.proxy_socket = {settings.http.proxy_socket!r}") as listener:
        path.chmod(OWN_MODE)  # nobody can connect before it listens
        if settings.http.proxy_socket_group:
            os.chown(path, -1, _check_group(settings))
            path.chmod(GROUP_MODE)
        listener.listen(BACKLOG)
    return listener


def _check_group(settings: Settings) -> int:
    """Return the id of the group that may connect; -1 for none."""
    name = settings.http.proxy_socket_group
    if not name:
        return -1
    shown = f"http.proxy_socket_group = {name!r}"
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigurationError(f"{shown}: there is no such group") from None
    if os.geteuid() != 0 and group not in {os.getegid(), *os.getgroups()}:
        message = f"{shown}: this user isn't in it, so it can't give the socket to it; usermod -aG {name} …"
        raise ConfigurationError(message)
    return group
