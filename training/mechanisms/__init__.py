"""What in the cells carries the risk of a network that looks at them, and whether it is more than chance would give.

states          types of cells in materials, and who has them
changed_cells   the same patients with a state's cells from others, or with edited cells
perturbation    a program silenced, lowered or raised
genes           how much each gene moves the risk, by integrated gradients from the risk down to expression
reading         all of it, asked of a fitted model about patients it has never seen
agreement       whether what moves the risk agrees with what happened
against         numbers beside what chance gives of them, and p-values
exchanged       the same of models fitted to patients who have exchanged their cells
"""
