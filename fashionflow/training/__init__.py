"""Trains the networks: training sets, losses, one training loop, and a command line for each network; `synthesis` renders the data.

May import every room except `page`. Code that judges a model belongs to `evaluation`.
"""
