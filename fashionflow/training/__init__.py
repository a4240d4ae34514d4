"""Learning the weights: training sets, losses, one training loop, and a command line for each network; `synthesis` renders the data.

May import every room but `page`. What judges a model belongs to `evaluation`.
"""
