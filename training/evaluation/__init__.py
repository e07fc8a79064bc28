"""How good predicted incidences are, with intervals.

The modules of this package, each needing only those above it:

    arrays          ratios without warnings, horizons between times
    ipcw            weights that let the patients who were followed stand for those who were not
    brier           Brier score, its integral over time, IPA against the Aalen–Johansen estimate
    dominance       pairs counted in O(n log n)
    discrimination  AUC at a time, cause-specific concordance
    intervals       patient bootstrap
    pseudo          pseudo-values of the Aalen–Johansen estimate
    calibration     observed against predicted risk, in groups and on average
    calibration_curve, calibration_line
                    ICI, E50, E90, Emax; intercept and slope
    observed        observed risk of reweighted patients
    net_benefit     decision curves
    threshold_search
                    gains at many thresholds at once
    patient_selection
                    whom a threshold of risk selects: observed risk, sensitivity, number needed to watch
    measures        all metrics of one prediction
    scores          `evaluate`: all of them at once, with intervals and names
    comparison      paired differences of two predictions, many tests at once
    paired          several predictions scored on the same resamples, repeats averaged in each
    permutation     whether a whole pipeline finds anything: something exchanged between patients
"""
