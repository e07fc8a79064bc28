"""Many runs over a space of choices: what matters, and which configuration is best.

config     a sweep's YAML                           space     choices of a trial → the run it stands for
check      the whole space, before the first trial  objective the one number that trials are ranked by
storage    the database of studies                  queue     a study in it, shared by workers
tracked    the sweep and its trials in MLflow       worker    one trial after another
launch     one sweep, from YAML to results          results   the best, corrected for being chosen
figures    history, importance, each parameter      shown     a sweep in the terminal
"""
