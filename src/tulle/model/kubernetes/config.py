"""ConfigMap, Secret, ServiceAccount, Namespace (core/v1), and kinds that mean nothing to processes."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict

from tulle.model.schema import Bool, Model, NoEffect, problem

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def _check_keys(data: dict[str, str]) -> dict[str, str]:
    for key in data:
        if not _KEY.fullmatch(key):
            raise problem(
                "invalid-name",
                f"“{key}” is not the name of a key",
                remedy="Use letters, digits, “-”, “_” and “.”.",
                field=f"[{key}]",
            )
    return data


def _check_base64(data: dict[str, str]) -> dict[str, str]:
    for key, value in _check_keys(data).items():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise problem(
                "invalid-base64",
                f"the value of “{key}” is not base64",
                remedy="Encode it, or write it as it is under stringData (Secret) or data (ConfigMap).",
                field=f"[{key}]",
            ) from None
    return data


Text = Annotated[dict[str, str], AfterValidator(_check_keys)]
Encoded = Annotated[dict[str, str], AfterValidator(_check_base64)]


class ConfigMapSpec(Model):
    data: Text = {}
    binary_data: Encoded = {}
    immutable: Annotated[Bool | None, NoEffect("what is applied may always be replaced")] = None

    @property
    def content(self) -> dict[str, bytes]:
        """Every key's bytes."""
        plain = {key: value.encode() for key, value in self.data.items()}
        return plain | {key: base64.b64decode(value) for key, value in self.binary_data.items()}


class SecretSpec(Model):
    data: Encoded = {}
    string_data: Text = {}
    """Replaces `data` under the same key (core/v1)."""
    type: str = "Opaque"
    immutable: Annotated[Bool | None, NoEffect("what is applied may always be replaced")] = None

    def __repr__(self) -> str:
        return f"SecretSpec(type={self.type!r}, keys={sorted(self.content)})"

    __str__ = __repr__

    @property
    def content(self) -> dict[str, bytes]:
        """Every key's bytes."""
        decoded = {key: base64.b64decode(value) for key, value in self.data.items()}
        return decoded | {key: value.encode() for key, value in self.string_data.items()}


class ServiceAccountSpec(Model):
    secrets: Annotated[Any, NoEffect("an identity is a certificate that the mesh gives")] = None
    image_pull_secrets: Annotated[Any, NoEffect("no image is pulled")] = None
    automount_service_account_token: Annotated[
        Bool | None, NoEffect("there is no API server to have a token for")
    ] = None


class NamespaceSpec(Model):
    finalizers: Annotated[Any, NoEffect("a namespace goes when it is deleted")] = None


class AnySpec(Model):
    """The content of a kind that is taken, said to mean nothing here, and otherwise left alone."""

    model_config = ConfigDict(extra="allow")
