"""What is asked of a proxy: a request, or a connection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection that a proxy is handed, or datagrams from one client."""

    address: str
    """That was dialled, before any redirection."""
    port: int
    server_name: str = ""
    """SNI; "" for a connection that does not begin with TLS."""
    udp: bool = False
    """Datagrams in place of a connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request on a connection."""

    connection: Connection
    method: str
    authority: str
    """The Host header, with or without a port."""
    path: str
    """With the query, as it stands in the request line; normalised (RFC 3986, 6.2.2)."""
    scheme: str = "http"
    headers: tuple[tuple[str, str], ...] = ()
    """Names in lower case. A name may stand several times."""

    def values(self, name: str) -> tuple[str, ...]:
        """The values of a header; `:method`, `:authority`, `:scheme` and `:path` are headers as in HTTP/2."""
        line = {
            ":method": self.method,
            ":authority": self.authority,
            ":scheme": self.scheme,
            ":path": self.path,
        }
        if name in line:
            return (line[name],)
        return tuple(value for written, value in self.headers if written == name)
