"""How each kind of risk model is fitted, and what the fits share.

boosting, forest, network, deephit, joint       one kind each; `joint` fits networks of several endpoints together
in_context, in_context_tuning, distillation     a network trained before: given a cohort, tuned to it, imitated
mean_count, mean_count_penalty, persistence     beside the risk model: expected numbers, how long values last
bagged, binning, pieces, event_intervals, proper_score, companions     what networks share, and what they learn from
"""
