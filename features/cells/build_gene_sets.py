"""Makes the packaged gene sets again from Reactome's pathways; nothing else runs this.

``python -m features.cells.build_gene_sets reactome.gmt FOLDER``

The source is Reactome version 59 (Croft et al., Nucleic Acids Res 2014;42:D472; Fabregat et al. 2018;46:D649), 1,256
pathways with Ensembl ids as bioFAM/MOFAdata has them. Reactome's data were under CC BY 4.0, and its annotation files
are in the public domain today (CC0 1.0; reactome.org/license): both allow to pass them on, the former if Reactome is
named, which the file's header does. MSigDB's sets come with terms of their own, and are not here.

`CHOSEN` are the pathways that a study of CAR-T cells and of their late effects asks after: what T cells are told and
do, cytokines, death and division of cells, repair of their DNA, metabolism and stress. Chosen before anything was
tested, and by subject alone. Of nested pathways the narrower one is taken, unless it is too small for a panel.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from features.cells.gene_sets import BUNDLED_FILE
from features.cells.gene_table import RELEASE
from features.cells.genes import resolve
from features.errors import SequelaError

SHA256 = "df08d786c6dcf1160c44b2c66a53388e1635c339dad668347f9a32107b292cdb"
HEADER = (
    "Reactome version 59, a subset chosen for CAR-T cells and late effects (features/cells/build_gene_sets.py)",
    "Attribution: Reactome, https://reactome.org; Fabregat et al., Nucleic Acids Res 2018;46:D649",
    "Licence: CC BY 4.0, https://creativecommons.org/licenses/by/4.0/ (today CC0 1.0)",
    f"Changes: pathways chosen, Ensembl ids turned into the symbols of {RELEASE}",
    f"Source: reactome_mofadata.gmt, sha256 {SHA256}",
)

CHOSEN: dict[str, tuple[str, ...]] = {
    "T cells": (
        "TCR signaling", "Phosphorylation of CD3 and TCR zeta chains",
        "Translocation of ZAP-70 to Immunological synapse",
        "Downstream TCR signaling", "Costimulation by the CD28 family", "CD28 co-stimulation",
        "CD28 dependent PI3K/Akt signaling", "CD28 dependent Vav1 pathway", "CTLA4 inhibitory signaling",
        "PD-1 signaling", "Immunoregulatory interactions between a Lymphoid and a non-Lymphoid cell",
        "DAP12 interactions", "DAP12 signaling", "Ca2+ pathway", "DAG and IP3 signaling",
        "PIP3 activates AKT signaling",
        "Negative regulation of the PI3K/AKT network", "Signaling by NOTCH1", "Signaling by TGF-beta Receptor Complex",
        "TCF dependent signaling in response to WNT", "Integrin cell surface interactions",
    ),
    "cytokines": (
        "Interferon alpha/beta signaling", "Interferon gamma signaling", "ISG15 antiviral mechanism",
        "Antiviral mechanism by IFN-stimulated genes", "Regulation of IFNG signaling", "Regulation of IFNA signaling",
        "Interleukin-1 signaling", "Interleukin-2 signaling", "Interleukin-3, 5 and GM-CSF signaling",
        "Interleukin-4 and 13 signaling", "Interleukin-6 signaling", "Interleukin-6 family signaling",
        "Interleukin-7 signaling", "Interleukin-10 signaling", "Interleukin receptor SHC signaling",
        "Chemokine receptors bind chemokines", "TNF signaling", "TNFR2 non-canonical NF-kB pathway",
        "TNF receptor superfamily (TNFSF) members mediating non-canonical NF-kB pathway",
        "TNFs bind their physiological receptors", "TNFR1-induced NFkappaB signaling pathway",
    ),
    "innate immunity and antigens": (
        "Toll Like Receptor 2 (TLR2) Cascade", "Toll Like Receptor 3 (TLR3) Cascade",
        "Toll Like Receptor 4 (TLR4) Cascade", "Toll Like Receptor 9 (TLR9) Cascade", "Inflammasomes",
        "The NLRP3 inflammasome", "Cytosolic sensors of pathogen-associated DNA ",
        "STING mediated induction of host immune responses", "Neutrophil degranulation",
        "ROS, RNS production in phagocytes", "Complement cascade", "C-type lectin receptors (CLRs)",
        "Fcgamma receptor (FCGR) dependent phagocytosis", "Fc epsilon receptor (FCERI) signaling",
        "Signaling by the B Cell Receptor (BCR)", "MHC class II antigen presentation",
        "Antigen Presentation: Folding, assembly and peptide loading of class I MHC",
        "Antigen processing-Cross presentation", "Activation of NF-kappaB in B cells", "Defensins",
        "Antimicrobial peptides",
    ),
    "death of cells": (
        "Apoptosis", "Intrinsic Pathway for Apoptosis", "Death Receptor Signalling",
        "Caspase activation via extrinsic apoptotic signalling pathway", "Apoptotic execution  phase",
        "Regulation of Apoptosis", "Regulated Necrosis", "TNFR1-induced proapoptotic signaling",
    ),
    "division of cells": (
        "Cell Cycle Checkpoints", "G0 and Early G1", "G1/S Transition", "G1/S-Specific Transcription", "S Phase",
        "DNA strand elongation", "Synthesis of DNA", "G2/M Transition", "G2/M Checkpoints", "Mitotic Prometaphase",
        "Mitotic Metaphase and Anaphase", "Mitotic Spindle Checkpoint", "M/G1 Transition", "Chromosome Maintenance",
        "Telomere Maintenance", "Cellular Senescence", "Senescence-Associated Secretory Phenotype (SASP)",
        "DNA Damage/Telomere Stress Induced Senescence",
    ),
    "repair of DNA": (
        "Base Excision Repair", "Mismatch Repair", "Nucleotide Excision Repair", "DNA Double-Strand Break Repair",
        "Homology Directed Repair", "DNA Damage Bypass", "DNA Double Strand Break Response",
        "Activation of ATR in response to replication stress", "p53-Dependent G1 DNA Damage Response",
        "TP53 Regulates Transcription of Cell Death Genes", "TP53 Regulates Transcription of DNA Repair Genes",
        "TP53 Regulates Transcription of Cell Cycle Genes", "Regulation of TP53 Activity",
    ),
    "metabolism": (
        "Glycolysis", "Glucose transport", "Citric acid cycle (TCA cycle)", "Pyruvate metabolism",
        "Respiratory electron transport", "Complex I biogenesis", "Mitochondrial Fatty Acid Beta-Oxidation",
        "Cholesterol biosynthesis", "Sphingolipid metabolism", "Purine metabolism", "Pyrimidine metabolism",
        "Metabolism of polyamines", "Metabolism of folate and pterines", "Tryptophan catabolism",
        "Amino acid transport across the plasma membrane", "mTOR signalling", "mTORC1-mediated signalling",
        "Mitochondrial translation", "Transcriptional activation of mitochondrial biogenesis", "Macroautophagy",
        "Mitophagy", "Iron uptake and transport", "Heme biosynthesis", "TP53 Regulates Metabolic Genes",
    ),
    "stress": (
        "Unfolded Protein Response (UPR)", "PERK regulates gene expression", "XBP1(S) activates chaperone genes",
        "Cellular response to hypoxia", "Detoxification of Reactive Oxygen Species",
        "Oxidative Stress Induced Senescence", "HSF1-dependent transactivation",
        "Regulation of HSF1-mediated heat shock response",
    ),
}  # fmt: skip
"""By subject, as Reactome spells them."""


def main(arguments: Sequence[str]) -> None:
    """Write the chosen sets into a folder.

    Raises:
        SequelaError: The source is not the one that this script was written for.
    """
    source, folder = map(Path, arguments)
    content = source.read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != SHA256:
        msg = f"{source}: sha256 {digest}, expected {SHA256}; take the version named in this script"
        raise SequelaError(msg)
    rows = chosen_rows(content.decode())
    lines = [*(f"# {line}" for line in HEADER), *("\t".join(row) for row in rows)]
    (folder / BUNDLED_FILE).write_text("\n".join([*lines, ""]), encoding="utf-8")
    sys.stdout.write(f"{len(rows)} sets, {len({gene for row in rows for gene in row[2:]}):,} genes\n")


def chosen_rows(text: str) -> list[list[str]]:
    """Name, subject and sorted symbols of each chosen set, in the order of `CHOSEN`.

    Raises:
        SequelaError: A chosen set is not there.
    """
    source = {fields[0]: fields[2:] for fields in (line.split("\t") for line in text.splitlines())}
    rows = []
    for subject, names in CHOSEN.items():
        for name in names:
            if name not in source:
                msg = f"{name}: no set of the source has this name; take the version named in this script"
                raise SequelaError(msg)
            genes = sorted(set(resolve([gene for gene in source[name] if gene]).canonical))
            rows.append([" ".join(name.split()), subject, *genes])
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
