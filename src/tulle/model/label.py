"""Labels as an API server of Kubernetes checks them (meta/v1)."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from tulle.model.schema import SUBDOMAIN, problem

LABEL_NAME = re.compile(rf"({SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


def _check_labels(value: dict[str, str]) -> dict[str, str]:
    for key, text in value.items():
        if not LABEL_NAME.fullmatch(key) or len(key.rpartition("/")[2]) > 63:
            raise problem(
                "invalid-label",
                f"“{key}” is not the name of a label",
                remedy="Write [DNS-NAME/]NAME, NAME with at most 63 letters, digits, “-”, “_” and “.”.",
                field=f"[{key}]",
            )
        if not LABEL_VALUE.fullmatch(text) or len(text) > 63:
            raise problem(
                "invalid-label",
                f"“{text}” is not the value of a label",
                remedy="A label's value has at most 63 letters, digits, “-”, “_” and “.”, and begins and "
                "ends with a letter or digit.",
                field=f"[{key}]",
            )
    return value


Labels = Annotated[dict[str, str], AfterValidator(_check_labels)]
