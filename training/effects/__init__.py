"""How outcomes differ between arms: the effect of a treatment, or of anything else that patients are grouped by.

The modules of this package, each needing only those above it:

    estimates     an estimate with its interval, a test
    arms          outcomes of patients in arms, perhaps in strata
    gray          Gray's test: do the incidences of one cause differ?
    logrank       the log-rank test: do the hazards of one cause differ?
    hazards       ratios of cause-specific and of subdistribution hazards
    risks         incidence by arm; differences and ratios at horizons
    time_lost     restricted mean time lost to a cause
    recurrent     events that come back: mean numbers, ratios of rates
    propensity    who got which arm: weights, overlap, balance
    adjusted      incidence and time lost had everyone been in one arm: weighted, and doubly robust
    nuisances     hazards of causes and of censoring, from models of other patients
    targeting     hazards moved until the mean influence is 0
    targeted      the same as adjusted, where censoring may depend on covariates
    individual    how an effect changes with covariates, for every patient
    counted       mean numbers of events that come back, by arm: as they are, and weighted
    subgroups     whether an effect differs between groups of patients
    e_value       how strong a confounder that nobody measured would have to be
"""
