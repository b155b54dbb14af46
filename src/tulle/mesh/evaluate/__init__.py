"""The View, asked about one request or connection: where it goes, and because of what."""

from tulle.mesh.evaluate.call import Connection, Request
from tulle.mesh.evaluate.evaluate import evaluate_gateway, evaluate_outbound, evaluate_table
from tulle.mesh.evaluate.outcome import Outcome, Reason, Step

__all__ = [
    "Connection",
    "Outcome",
    "Reason",
    "Request",
    "Step",
    "evaluate_gateway",
    "evaluate_outbound",
    "evaluate_table",
]
