"""How good predicted incidences are, with intervals.

The modules of this package, each needing only those above it:

    arrays          ratios without warnings, horizons between times
    ipcw            weights that let the patients who were followed stand for those who were not
    brier           Brier score, its integral over time, IPA against the Aalen–Johansen estimate
    discrimination  AUC at a time, cause-specific concordance
    intervals       patient bootstrap, paired differences
    pseudo          pseudo-values of the Aalen–Johansen estimate
    calibration     observed against predicted risk
    scores          `evaluate`: all of them at once
"""
