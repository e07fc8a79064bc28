"""Many runs: configuration, cross-validation, tracking, comparison, promotion; the command line.

cli/          `sequela`, one module a group of commands; everything heavy is imported when a command runs
config        a run's YAML, resolved                home         where stores live
data          cohort to training rows               crossval     out-of-fold predictions, resumable
train         one run from YAML to artifact         assist       the part of other processes in it
figures       what people would rather look at
log_items     what is logged, as a pure stream      tracking     the one interpreter that speaks to MLflow
logged_model  the artifact as an MLflow model       leaderboard  runs ranked
registry      champion and previous, rollback       demo         the whole way on the embedded cohort
sweeps/       a space of runs: checked, shared by workers, its best corrected for being chosen
"""
