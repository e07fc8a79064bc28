"""Networks that were trained before, on simulated cohorts, and ship with their weights.

pretraining              begins or goes on, in as many runs, on whatever machines, as there are
weights                  reads and writes what came of it
in_context.safetensors   that of `kind: in_context`; README.md is its card: prior, tables, hours, what it is good for
"""

from __future__ import annotations

from training.pretrained.weights import SHIPPED, Origin, read_weights, write_weights

__all__ = ["SHIPPED", "Origin", "read_weights", "write_weights"]
