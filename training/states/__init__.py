"""States that patients go through: free of events, with a complication, after relapse, dead.

The modules of this package, each needing only those above it:

    occupation         who is in which state when, how long, and who ever was: estimates with their covariance
    weighted_time      time weighed by what a day in each state is worth; at which worth two groups are equal
    markov             whether the way into a state matters for the way out of it
    transition_models  the same for one patient: a Cox model a transition, and refits of them, to be served
"""
