"""How good clips are, and what is known of a folder of clips.

Here live the metrics and the networks that they need, the command lines that sample and judge clips (`python -m
fashionflow.evaluation.sample`, `python -m fashionflow.evaluation`, `python -m fashionflow.evaluation.real`), the fidelity verdict of the page,
and the labels of clips that training shares. May import every room but `training` and `page`. What makes clips does not belong here.
"""
