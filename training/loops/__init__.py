"""Training loops, whatever is fitted: how a fit runs, stops, is kept and is shared.

lightning_run   one quiet run of Lightning                       stopping        the best state is kept
checkpoints     a killed fit goes on                             processes       several, as torchrun starts them
batches         row numbers, shuffled and shared out
"""
