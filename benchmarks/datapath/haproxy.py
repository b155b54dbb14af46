"""Another reference: two HAProxies (Debian's) with the same TLS and HTTP/1.1 on all three legs."""

from __future__ import annotations

import shutil
from pathlib import Path

from tulle.identity.svid import Svid

_COMMON = """
global
  nbthread 1
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  option http-keep-alive
  http-reuse always
"""


def program() -> str | None:
    """The path of the program, if it is installed."""
    return shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin:/usr/bin:/bin")


def client(folder: Path, listen: tuple[str, int], upstream: tuple[str, int], own: Svid) -> Path:
    """Write the configuration of the caller's end: plain in, mTLS out."""
    certificate, root = _certificates(folder, "client", own)
    return _write(
        folder / "client.cfg",
        f"""
frontend in
  bind {listen[0]}:{listen[1]}
  default_backend next
backend next
  server next {upstream[0]}:{upstream[1]} ssl crt {certificate} ca-file {root} verify required
""",
    )


def server(folder: Path, listen: tuple[str, int], upstream: tuple[str, int], own: Svid) -> Path:
    """Write the configuration of the server's end: mTLS in, plain out."""
    certificate, root = _certificates(folder, "server", own)
    return _write(
        folder / "server.cfg",
        f"""
frontend in
  bind {listen[0]}:{listen[1]} ssl crt {certificate} ca-file {root} verify required
  default_backend next
backend next
  server next {upstream[0]}:{upstream[1]}
""",
    )


def _write(path: Path, text: str) -> Path:
    path.write_text(_COMMON + text)
    return path


def _certificates(folder: Path, name: str, own: Svid) -> tuple[Path, Path]:
    certificate, root = folder / f"{name}.pem", folder / "root.pem"
    certificate.write_bytes(own.chain_pem + own.key_pem)
    root.write_bytes(own.root_pem)
    return certificate, root
