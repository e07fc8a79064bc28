"""The artifact: the folder that holds one fitted risk model and all that is needed to use it.

folder      written, read, and proven by its own example         manifest    what it says of itself; needs no PyTorch
parts       arrays and blocks beside the risk model              blocks      what a manifest says of those
"""
