"""What in the cells carries the risk of a network that looks at them, and whether it is more than chance would give.

occlusion       patients without the cells of a state
genes           how much each gene moves the risk, by integrated gradients from the risk down to the counts
perturbation    patients in whose cells a program is silenced, lowered or raised
reading         all three, asked of a fitted model about patients it has never seen
permuted        the same of models fitted to outcomes dealt anew among the patients
"""
