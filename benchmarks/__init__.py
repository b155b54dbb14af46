"""What the mesh costs, measured side by side in one run: `python -m benchmarks` (docs/reference/benchmarks.md).

`datapath/`, `push/`, `startup` and `memory` measure; each gives `report.Row`s, which `report` prints and writes.
"""
