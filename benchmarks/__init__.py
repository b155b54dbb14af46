"""What the mesh costs, measured side by side in one run: `python -m benchmarks`.

`datapath/`, `push/`, `startup` and `memory` measure; each gives a `report.Report`.
What each of them does stands in docs/reference/benchmarks.md.
"""
