"""What a patient becomes: cohort folders, tables and cells in, numbers out.

The path of a patient through this package, each step a module:

    schema      what a cohort folder and an endpoint may say (pydantic)      documents   YAML files, every fault named
    check       a cohort folder read from disk: all findings at once         cohort      its typed tables
    cells       the cells of a sample, and their summary    anndata_io   .h5ad and .zarr    matrix, genes   their parts
    patients    `Patients`: the columnar form in which training and serving hold patients
    outcomes    an endpoint applied to a cohort: durations and causes from a landmark
    encoder     `PatientEncoder`: what is fitted inside the fold; patients in, matrix out
                (baseline, landmark, samples: its parts; scaling: imputation and scale; programs: gene sets)
    request     one patient as JSON, for serving        units        UCUM conversion
    importers   public studies to cohort folders        simulator    cohorts with a known truth
"""
