"""A document to a resource: what an API server would refuse is refused here, with all its findings.

Fed by `parse.py`. The rules of single fields are with the fields (`schema.py` and the kinds' modules); this
module finds the kind, reads the content, and says where and how support ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from tulle.model import refusal
from tulle.model.document import Document, join, step, without_nulls
from tulle.model.findings import Finding, Severity
from tulle.model.kinds import KINDS, Kind, Naming, find, similar, split_api_version
from tulle.model.remark import Remark
from tulle.model.resource import Key, Metadata, Resource, nearest
from tulle.model.schema import Model, NoEffect, NotHonoured, check_dns_label, check_dns_name, check_segment

_COMMON = ("apiVersion", "kind", "metadata", "status")


def admit(document: Document, namespace: str | None) -> tuple[Resource[Any] | None, list[Finding]]:
    """The resource, None if there is an error; and all findings.

    `namespace` is that of a document which names none (None: `default`). If it is given, a document that
    names another one is refused, as kubectl's `--namespace` has it.
    """
    admission = _Admission(document, namespace)
    resource = admission.run()
    failed = any(each.severity is Severity.ERROR for each in admission.findings)
    return (None if failed else resource), admission.findings


class _Admission:
    """The reading of one document."""

    def __init__(self, document: Document, namespace: str | None) -> None:
        self.document = document
        self.value: Mapping[str, Any] = without_nulls(document.value)
        self.namespace = namespace
        self.findings: list[Finding] = []
        self.key = Key("", "", "", "")

    def run(self) -> Resource[Any] | None:
        kind = self._kind()
        if kind is None:
            return None
        metadata = self._metadata(kind)
        spec = self._spec(kind)
        if metadata is None or spec is None:
            return None
        self._replaced(kind, metadata)
        self._support(kind, metadata, spec)
        return Resource(
            key=self.key,
            api_version=self.value["apiVersion"],
            metadata=metadata,
            spec=spec,
            document=self.document.value,
            places=self.document.places,
        )

    # -- the parts of a document -----------------------------------------------------------------

    def _kind(self) -> Kind | None:
        written: dict[str, str] = {}
        for field, example in (("apiVersion", "apps/v1"), ("kind", "Deployment")):
            value = self.value.get(field)
            if isinstance(value, str) and value:
                written[field] = value
            elif value is None:
                self._say(
                    "missing-field", f"“{field}” is missing", f"Write {field}: {example}, for example.", field
                )
            else:
                self._say("wrong-type", "expected a text", "Put it in quotation marks.", field)
        metadata = self.value.get("metadata")
        named: Any = metadata if isinstance(metadata, dict) else {}
        name, namespace = (str(named.get(field, "")) for field in ("name", "namespace"))
        group, version = split_api_version(written.get("apiVersion", ""))
        self.key = Key(group, written.get("kind", ""), namespace, name)
        if len(written) < 2:
            return None
        kind = find(group, written["kind"])
        if kind is None:
            self._unknown_kind(written["kind"], written["apiVersion"])
            return None
        if version not in kind.versions:
            self._say(
                "unknown-version",
                f"{kind.kind} has no version {written['apiVersion']}",
                f"Write apiVersion: {' or '.join(kind.api_versions)}.",
                "apiVersion",
            )
            return None
        where = namespace or self.namespace or "default"
        self.key = Key(group, kind.kind, where if kind.namespaced else "", name)
        return kind

    def _unknown_kind(self, kind: str, api_version: str) -> None:
        elsewhere = [each for each in KINDS if each.kind == kind]
        if elsewhere:
            versions = " or ".join(each.api_version for each in elsewhere)
            self._say(
                "unknown-kind",
                f"{api_version} has no kind {kind}",
                f"Write apiVersion: {versions}.",
                "apiVersion",
            )
            return
        near = similar(kind)
        remedy = f"Did you mean {' or '.join(near)}?" if near else "`tulle get --help` lists the kinds."
        self._say("unknown-kind", f"there is no kind “{kind}” in {api_version}", remedy, "kind")

    def _metadata(self, kind: Kind) -> Metadata | None:
        metadata = self._read(Metadata, self.value.get("metadata", {}), "metadata")
        if metadata is None:
            return None
        check = {Naming.LABEL: check_dns_label, Naming.SUBDOMAIN: check_dns_name, Naming.ANY: check_segment}
        try:
            check[kind.naming](metadata.name)
        except PydanticCustomError as error:
            remedy = (error.context or {}).get("remedy", "")
            self._say("invalid-name", error.message(), remedy, "metadata.name")
        if metadata.namespace is not None and not kind.namespaced:
            self._say(
                "no-effect",
                f"a {kind.kind} belongs to no namespace",
                "Remove it.",
                "metadata.namespace",
                Severity.INFO,
            )
        if kind.namespaced and self.namespace not in (None, self.key.namespace):
            self._say(
                "other-namespace",
                f"it belongs to the namespace {self.key.namespace}, and the command says {self.namespace}",
                f"Leave out the option, or write -n {self.key.namespace}.",
                "metadata.namespace",
            )
        return metadata

    def _spec(self, kind: Kind) -> Model | None:
        _, version = split_api_version(self.value["apiVersion"])
        model = kind.other_specs.get(version, kind.spec)
        if not kind.has_spec:
            rest = {field: value for field, value in self.value.items() if field not in _COMMON}
            return self._read(model, rest, "")
        for field in self.value:
            if field not in (*_COMMON, "spec"):
                known = [*_COMMON, "spec"]
                self._say(
                    "unknown-field", f"there is no field “{field}”", refusal.did_you_mean(field, known), field
                )
        return self._read(model, self.value.get("spec", {}), "spec")

    def _read(self, model: type[Model], value: Any, path: str) -> Any:
        try:
            context = {"namespace": self.key.namespace}
            return model.model_validate(value, by_alias=True, by_name=False, context=context)
        except ValidationError as error:
            for each in refusal.refusals(model, value, error):
                self._say(each.code, each.message, each.remedy, join(path, each.field))
            return None

    def _replaced(self, kind: Kind, metadata: Metadata) -> None:
        """An annotation beside the field that has taken its place."""
        for annotation, field in kind.replaced_annotations:
            if annotation in metadata.annotations and field in self.value.get("spec", {}):
                self._say(
                    "exclusive-fields",
                    f"the annotation {annotation} and {field} exclude each other",
                    "Remove the annotation.",
                    f"metadata.annotations.{annotation}",
                )

    # -- where support ends ----------------------------------------------------------------------

    def _support(self, kind: Kind, metadata: Metadata, spec: Model) -> None:
        if kind.no_effect:
            self._say(
                "no-effect",
                f"{kind.kind} has no effect: {kind.no_effect}",
                "Nothing need be done.",
                severity=Severity.INFO,
            )
        for path, remark in remarks(spec, "spec" if kind.has_spec else ""):
            at = join(path, remark.field)
            self._say(remark.code, remark.message, remark.remedy, at, Severity.WARNING)
        marked = (*_marked(metadata, "metadata"), *_marked(spec, "spec" if kind.has_spec else ""))
        for path, mark, partly in marked:
            name = path.rpartition(".")[2]
            if isinstance(mark, NotHonoured):
                what = f"this value of “{name}”" if partly else f"“{name}”"
                self._say(
                    "not-honoured",
                    f"{what} is not honoured by this version: {mark.reason}",
                    "Change or remove it." if partly else "Remove it.",
                    path,
                )
            else:
                self._say(
                    "no-effect",
                    f"“{name}” has no effect: {mark.reason}",
                    "Nothing need be done.",
                    path,
                    Severity.INFO,
                )

    def _say(
        self,
        code: str,
        message: str,
        remedy: str,
        field: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        place = nearest(self.document.places, field)
        key = self.key
        self.findings.append(
            Finding(
                place.file,
                place.line,
                place.column,
                code,
                severity,
                message,
                remedy,
                key.kind,
                key.namespace,
                key.name,
                field,
            )
        )


def remarks(value: Any, path: str) -> Iterator[tuple[str, Remark]]:
    """The remarks of a value and of all that is written in it, with the path of the model that says each."""
    if isinstance(value, Model):
        for remark in value.remarks():
            yield path, remark
        for name, info in type(value).model_fields.items():
            if name in value.model_fields_set:
                yield from remarks(getattr(value, name), step(path, info.alias or name))
    elif isinstance(value, tuple):
        for index, each in enumerate(value):
            yield from remarks(each, step(path, index))
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from remarks(each, step(path, key))


def _marked(model: Model, path: str) -> Iterator[tuple[str, NotHonoured | NoEffect, bool]]:
    """The written fields that are marked: path, mark, and whether only some values are concerned."""
    for name, info in type(model).model_fields.items():
        if name not in model.model_fields_set:
            continue
        value = getattr(model, name)
        at = step(path, info.alias or name)
        marks = [mark for mark in info.metadata if isinstance(mark, (NotHonoured, NoEffect))]
        concerned = [
            mark
            for mark in marks
            if (
                mark.when(value)
                if mark.when is not None
                else value != info.get_default(call_default_factory=False)
            )
        ]
        if concerned:
            yield at, concerned[0], concerned[0].when is not None
        else:
            yield from _inside(value, at)


def _inside(value: Any, path: str) -> Iterator[tuple[str, NotHonoured | NoEffect, bool]]:
    if isinstance(value, Model):
        yield from _marked(value, path)
    elif isinstance(value, tuple):
        for index, each in enumerate(value):
            yield from _inside(each, step(path, index))
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _inside(each, step(path, key))
