"""The models, how they are fitted, how they are scored.

config        what can be said of a model and its fitting in a run's YAML
fit           one model on one set of patients: encoder first, then predictor
splits        patient-grouped folds                    tuning        settings chosen inside a fold
models/       plain torch and numpy: what serving needs to answer
artifact/     the folder that holds one fitted risk model; written and read here
fitting/      how each kind is fitted                  cells/        and those that look at single cells
loops/        how a fit runs, stops, is kept           out_of_fold/  what is learnt from out-of-fold predictions
evaluation/   scores of predictions, with intervals
prior/        simulated tables, from which the in-context network learns what cohorts look like
pretrained/   its training on them, and the weights that ship
effects/, strategies/, states/     treatments and plans compared; benefit against harm
biomarkers/, differential/, mechanisms/     what in cells and samples goes with an outcome
"""
