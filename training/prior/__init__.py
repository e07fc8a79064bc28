"""Simulated tables with competing risks, from which the in-context model learns what cohorts look like.

draws          random numbers of a device's own generator        covariates     columns as clinics and cells give them
effects        how columns change each cause's hazard            course         hazards over time, events, follow-up
tables         all of it together: a batch of tables

Nothing of a real patient is in here. Tables are simulated in batches, on the device where they are learnt from.
"""

from __future__ import annotations

from training.prior.tables import VERSION, TableBatch, simulate_tables

__all__ = ["VERSION", "TableBatch", "simulate_tables"]
