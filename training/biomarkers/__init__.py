"""Which of many markers go with a cause: tests of all of them at once, and what such a search may claim.

The modules of this package, each needing only those above it:

    markers       values of markers, and which were measured in the same patients
    null_model    what is known without a marker: strata, covariates, and the residuals they leave
    score_test    one test a marker, of the cause-specific or of the subdistribution hazard
    multiplicity  the false discovery rate
    permutation   p-values from permuted outcomes, one by one and of the largest of all
    stability     how often a marker is among the best of half of the patients
    effect        hazard ratios, of everyone and within arms
"""
