"""Write all golden files and the page of what is supported anew, remove the orphans: `make golden`, then read
the diff."""

from __future__ import annotations

from tests.golden.case import FOLDER, OUTPUTS, beside, inputs, outcome
from tulle.model.support import markdown

_SUPPORT = FOLDER.parents[1] / "docs/reference/support.md"


def main() -> None:
    wanted = {beside(file, suffix): text for file in inputs() for suffix, text in outcome(file).texts.items()}
    for path, text in wanted.items():
        path.write_text(text)
    for suffix in OUTPUTS:
        for path in set(FOLDER.glob(f"*/*{suffix}")) - wanted.keys():
            path.unlink()
    _SUPPORT.write_text(markdown())
    print(f"{len(wanted)} files of {len(inputs())} cases")


if __name__ == "__main__":
    main()
