"""Which model serves, and why it may.

gate             what is asked, from YAML        candidate, paired   the run that is asked, and the champion beside it
checks, limits, subgroup_checks, champion_check   the answers, one kind each
verdict, shown   all answers, as data and in the terminal
promote          moves the aliases               history             who served when and why, also after a kill
registry         MLflow's registry and BentoML's store
"""
