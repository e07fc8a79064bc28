"""Making a run again.

definition   what a run is made from, logged when it begins   machine   on what it was computed
reproduce    trains it again                                  check     whether the numbers are the same
"""
