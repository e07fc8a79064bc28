"""How good predicted incidences are, with intervals.

    ipcw            weights that let the patients who were followed stand for those who were not
    brier           Brier score, its integral over time, IPA against the Aalen–Johansen estimate
    discrimination  AUC at a time, cause-specific concordance
    pseudo          pseudo-values of the Aalen–Johansen estimate
    calibration     observed against predicted risk
    intervals       patient bootstrap, paired differences
    scores          `evaluate`: all of them at once
"""
