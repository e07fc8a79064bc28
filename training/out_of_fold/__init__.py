"""What is learnt from out-of-fold predictions: weights of a mixture, recalibration, intervals of a risk.

stacking        predictions of a mixture's members               stack_weights   what they speak for
recalibration   how risks are to be corrected                    conformal       intervals of a patient's risk
misfit          the errors that refits do not show               stretch         the shrinkage that they repeat
simulated_outcomes      outcomes as they might have been
"""
