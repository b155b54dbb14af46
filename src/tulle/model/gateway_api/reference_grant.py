"""ReferenceGrant (apis/v1/referencegrant_types.go): who may refer into a namespace from another."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tulle.model.gateway_api.shared import Group, KindName, ObjectName
from tulle.model.schema import DnsLabel, Model


class ReferenceGrantFrom(Model):
    group: Group
    kind: KindName
    namespace: DnsLabel


class ReferenceGrantTo(Model):
    group: Group
    kind: KindName
    name: ObjectName | None = None


class ReferenceGrantSpec(Model):
    from_: Annotated[tuple[ReferenceGrantFrom, ...], Field(alias="from", min_length=1, max_length=16)]
    to: Annotated[tuple[ReferenceGrantTo, ...], Field(min_length=1, max_length=16)]
