"""Models of single cells, fitted: bags drawn afresh each epoch, and encoders of cells without labels.

drawing       the cells of training rows                         network_fit     networks that look at cells
network_start where those begin to learn                         encoder_fit     an encoder of single cells
stream        cells from disk, for the encoder                   clonal_expansion    clones that grow between samples
"""
