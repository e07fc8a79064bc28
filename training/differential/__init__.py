"""Do cells of two groups of patients differ? The patient is the unit of every test, never the cell.

The modules of this package, each needing only those above it:

    design         two groups of patients, and what the comparison is adjusted for
    linear_model   anything that is a number of a patient: ordinary least squares
    expression     genes: negative binomial models of pseudobulk counts, by pydeseq2
    abundance      cell types: negative binomial models of numbers of cells, by statsmodels
"""
