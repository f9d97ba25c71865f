"""The address that the service listens on."""

import errno
import ipaddress
import socket
import time

from lens.errors import LensError

_PATIENCE = 1.0  # seconds: the port of a service that was killed is free a moment later


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to a place; port 0 takes any free one.

    Raises LensError for a busy port, naming a free one, and for a place that this machine cannot give.
    """
    if not 0 <= port <= 65535:
        raise LensError(f"port={port}: a port is a number from 0 to 65535.")
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return _bound(host, port)
        except socket.gaierror as error:
            raise LensError(f"host={host}: there is no such address ({error.strerror}).") from error
        except PermissionError as error:
            raise LensError(f"port={port} needs more rights; give one above 1023.") from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise LensError(f"host={host}: {error.strerror}; give an address of this machine.") from error
            if time.monotonic() > deadline:
                raise LensError(
                    f"Port {port} on {host} is in use; port={_free(host, port)} is free, or stop what listens there."
                ) from error
            time.sleep(0.1)


def is_local(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address(host: str, port: int) -> str:
    """As a browser takes it; of all addresses of this machine one by its name."""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(where)
        found.listen(2048)  # at once: with SO_REUSEADDR two may bind one port, but not listen there
    except OSError:
        found.close()
        raise
    return found


def _free(host: str, port: int) -> int:
    for near in range(port + 1, min(port + 50, 65536)):
        try:
            _bound(host, near).close()
            return near
        except OSError:
            continue
    with _bound(host, 0) as any_free:
        return int(any_free.getsockname()[1])
