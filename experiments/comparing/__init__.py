"""Runs against one another.

leaderboard, finished_runs   runs of an experiment, ranked       leaderboard_shown   in the terminal
compared_runs                runs on the same patients, or why they cannot be compared
comparison                   paired differences                  shown, figure       in the terminal, as a forest plot
question                     do the cells add anything?          added_value, cell_test, record   how that is answered
"""
