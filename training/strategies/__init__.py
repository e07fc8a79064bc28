"""Target-trial emulation of strategies that say when a treatment starts: cloning, censoring, weighting.

The modules of this package, each needing only those above it:

    followed      patients day by day from time zero: when treatment started, when observation ended, and why
    plans         strategies: how probable a start is under each, day by day, given what a patient's days held
    pooled_days   a pooled logistic regression of the days on which something could happen
    starting      who started when, and how probable that was
    leaving       who was lost to follow-up when, and how probable it was to be still observed
    weights       clones that follow a strategy, and what each stands for
    incidence     incidence and time lost of weighted clones
    emulation     all of it for every strategy, and again for patients drawn with replacement
    contrasts     estimates with intervals, and differences and ratios of strategies
    positivity    in whom, and when, nobody starts
    exposure      what follows a start as it was seen: hazards and states with and without, no strategy compared
"""
