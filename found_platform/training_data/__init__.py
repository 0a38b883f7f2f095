"""What training reads, made from features: rows of the past, descriptions of what followed, text vectors, and the exported files.

`training_set` holds users at past cutoffs, `pairs` what each did next, `text_vectors` the cache of encoded texts, `histories` rows
of the feature service as tensors, `export` the files that the training processes read.
"""
