"""Judges how good clips are, and reads the labels of a folder of clips.

This package contains the metrics and the networks that they need, the command lines that sample and judge clips
(`python -m fashionflow.evaluation.sample`, `python -m fashionflow.evaluation`, `python -m fashionflow.evaluation.real`), the fidelity
verdict of the page, and the labels of clips that training shares. May import every room except `training` and `page`. Code that makes
clips does not belong here.
"""
