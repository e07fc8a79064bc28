"""The rules of the clones table: T-cell receptors and sites of vector integration, counted in each sample."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from features.check.findings import Findings
from features.check.tables import Table

LOCI = ("tcr", "integration")


def clones_table(table: Table, samples: Collection[str] | None, findings: Findings) -> pd.DataFrame:
    """Check clones against the samples of the cohort; columns as `Cohort.clones` documents."""
    sample, locus, clone = (table.text(name) for name in ("sample_id", "locus", "clone"))
    for name, text in (("sample_id", sample), ("locus", locus), ("clone", clone)):
        if text.missing.any():
            findings.add_rows("missing-id", table.file, table.rows[text.missing], field=name)
    if samples is not None:
        for row, value in sample.first_rows(table, lambda level: level not in samples):
            findings.add("unknown-sample", table.file, row=row, field="sample_id", value=value)
    for row, value in locus.first_rows(table, lambda level: level not in LOCI):
        findings.add("unknown-locus", table.file, row=row, field="locus", value=value, known=" and ".join(LOCI))
    abundance = table.numbers("abundance", findings, required=True)
    if (abundance <= 0).any():
        wrong = abundance <= 0
        findings.add_rows("bad-abundance", table.file, table.rows[wrong], abundance[wrong].tolist(), field="abundance")
    repeated = pd.DataFrame({"sample": sample.code, "locus": locus.code, "clone": clone.code}).duplicated().to_numpy()
    if repeated.any():
        findings.add_rows(
            "duplicate-clone", table.file, table.rows[repeated], clone.each[repeated].tolist(), field="clone"
        )
    near = np.full(len(table), np.nan)
    if "near_oncogene" in table:
        near = table.numbers("near_oncogene", findings)
        wrong = ~np.isnan(near) & ~np.isin(near, (0, 1))
        if wrong.any():
            findings.add_rows("bad-flag", table.file, table.rows[wrong], near[wrong].tolist(), field="near_oncogene")
    columns = {"sample_id": sample.each, "locus": locus.each, "clone": clone.each}
    return pd.DataFrame(columns | {"abundance": abundance, "near_oncogene": near})
