"""The models, how they are fitted, how they are scored.

models/       plain torch and numpy: what serving needs to answer
artifact      the folder that holds one fitted risk model; written and read here (`manifest`: what it says of itself)
fit           one model on one set of patients (Lightning for the network)
splits        patient-grouped folds
evaluation/   scores of those predictions, with intervals
prior/        simulated tables, from which the in-context network learns what cohorts look like
pretrained/   its training on them, and the weights that ship
distillation_fit, in_context_tuning   what else may be done with them
effects/      treatments compared
states/       benefit against harm: the states that patients go through
"""
