"""Importers: from the files that a study published to a cohort folder.

`IMPORTERS` names them for `sequela import NAME SOURCE DIR`; an importer's module is loaded when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from features.errors import SequelaError


@dataclass(frozen=True, slots=True)
class Importer:
    """One way of making a cohort folder."""

    name: str
    description: str
    """One line, for lists."""
    source: str
    """What SOURCE is."""
    function: str
    """``module:function`` with the parameters (source, folder), or (spec, source, folder) where `takes_spec`."""
    takes_spec: bool = False
    """Whether a specification must say what the source means."""
    reports_progress: bool = False
    """Whether the function takes ``progress`` as well."""

    def run(
        self,
        source: Path,
        folder: Path,
        spec: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Write the cohort folder, whole or not at all.

        Args:
            source: What the study published.
            folder: Where; must be absent or empty.
            spec: The specification; required by importers that take one, refused by the others.
            progress: Called with what is done and what is to do in all, by importers that take long.

        Raises:
            SequelaError: The specification is missing or not wanted, or the source cannot be imported.
        """
        if self.takes_spec != (spec is not None):
            need = "needs a specification of what the columns mean" if self.takes_spec else "takes no specification"
            remedy = "give it with --spec SPEC.yaml" if self.takes_spec else "leave --spec out"
            msg = f"importer {self.name}: {need}; {remedy}"
            raise SequelaError(msg)
        module, _, name = self.function.partition(":")
        function = getattr(import_module(module), name)
        extra = {"progress": progress} if self.reports_progress else {}
        function(*([] if spec is None else [spec]), source, folder, **extra)


IMPORTERS: Mapping[str, Importer] = MappingProxyType(
    {
        importer.name: importer
        for importer in (
            Importer(
                "table",
                "any time-to-event table, with a specification of its columns",
                "a CSV file",
                "features.importers.table:import_table",
                takes_spec=True,
            ),
            Importer(
                "single_cell",
                "any single cells, .h5ad or 10x matrices, with a clinical table or a label, and a specification",
                "an .h5ad, a 10x .h5, or a folder of 10x matrices",
                "features.importers.single_cell:import_single_cell",
                takes_spec=True,
                reports_progress=True,
            ),
            Importer(
                "omop",
                "an OMOP common data model (5.4), with a specification of infusion, variables and events",
                "a folder of its tables as CSV or Parquet, or a DuckDB file",
                "features.importers.omop:import_omop",
                takes_spec=True,
                reports_progress=True,
            ),
            Importer(
                "meds",
                "a MEDS data set (Medical Event Data Standard), with a specification of infusion, variables and events",
                "its folder, with data/*.parquet",
                "features.importers.meds:import_meds",
                takes_spec=True,
                reports_progress=True,
            ),
            Importer(
                "leipzig2024",
                "52 myeloma patients after BCMA CAR-T cells: clinic, laboratory, flow cytometry, plasma cells",
                "folder of the authors' tables as CSV",
                "features.importers.leipzig2024:import_leipzig2024",
            ),
            Importer(
                "carpall2023",
                "9 children after CD19 CAR-T cells: 22,309 cells of product, blood and marrow up to 5 years",
                "folder with carpall_hvg3000_counts.h5ad",
                "features.importers.carpall2023:import_carpall2023",
            ),
            Importer(
                "upenn_cart19",
                "209 patients after CD19 CAR-T cells: relapse by type in children, kinetics, integration sites",
                "folder of the authors' tables as CSV, and integration_sites.parquet",
                "features.importers.upenn_cart19:import_upenn_cart19",
            ),
            Importer(
                "prince",
                "108 patients with pancreatic cancer (not CAR-T): repeated cytometry and Olink, progression, death",
                "folder of the trial's tables as CSV",
                "features.importers.prince:import_prince",
            ),
            Importer(
                "haradhvala2022",
                "32 lymphoma patients after axi-cel or tisa-cel: clinic and response, with cells where downloaded",
                "folder with patients.csv and, where there are any, samples of GEO GSE197268",
                "features.importers.haradhvala2022:import_haradhvala2022",
            ),
            Importer(
                "deng2020",
                "24 lymphoma patients, axi-cel infusion products as deposited in GEO, with a clinical table",
                "folder with clinical.csv and the matrices of GSE151511, as GSE151511_RAW.tar or its files",
                "features.importers.deng2020:import_deng2020",
                reports_progress=True,
            ),
        )
    }
)
"""Importers by name."""
