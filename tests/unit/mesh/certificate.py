"""A Secret with a certificate, for gateways."""

from __future__ import annotations

import base64
from functools import lru_cache

import trustme


@lru_cache
def _pair(edition: int) -> tuple[str, str]:
    leaf = trustme.CA().issue_cert("shop.example.com")
    certificate = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    return base64.b64encode(certificate).decode(), base64.b64encode(leaf.private_key_pem.bytes()).decode()


def secret(name: str, namespace: str, edition: int = 1) -> str:
    """Another `edition` is another certificate."""
    certificate, key = _pair(edition)
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: {namespace}}}
type: kubernetes.io/tls
data: {{tls.crt: {certificate}, tls.key: {key}}}
"""


def certificate_pem() -> str:
    """A certificate that may be an authority's."""
    return base64.b64decode(_pair(1)[0]).decode()
