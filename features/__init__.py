"""What a patient becomes: cohort folders, tables and cells in, numbers out.

The path of a patient through this package, each step a module:

    schema      what a cohort folder and an endpoint may say (pydantic)      documents   YAML files, every fault named
    check       a cohort folder read from disk: all findings at once         cohort      its typed tables
    cells/      anndata_io   .h5ad and .zarr, streamed                       store       stored once for every run
                genes        GENCODE v44, synonyms                           processing  QC, cell types, CAR cells
                summary      sums over the cells of each sample              samples     the features made of them
    patients    `Patients`: the columnar form in which training and serving hold patients
    outcomes    an endpoint applied to a cohort: durations and causes from a landmark
    config      `FeatureConfig`: which features a model sees
    encoder     `PatientEncoder`: what is fitted inside the fold; patients in, matrix out
                (baseline, landmark, derived: history, scores, grades; scaling: imputation and scale)
    scores/     published scores and grades              clonality   T-cell receptors and integration sites
    records     one patient as JSON, for serving         cohort_records   a cohort's patients likewise
    request     records into the form the encoder takes
    units, analytes   UCUM conversion, mass to molar
    importers/  public studies to cohort folders         simulator/  cohorts with a known truth
"""
