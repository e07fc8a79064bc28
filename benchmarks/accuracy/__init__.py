"""Accuracy on public competing-risks tables: our models and their peers on the same folds, in one run.

tables.py     the tables, through the importer and the encoder that users have
models.py     our models, as their configurations
peers.py      other people's, from their libraries
folds.py      every fold of every table under every model, in parallel, kept on disk
scoring.py    IBS, IPA, concordance, ranks and paired intervals from the out-of-fold predictions
page.py       the page and the figure
__main__.py   `python -m benchmarks.accuracy`
"""
