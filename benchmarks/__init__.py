"""Measures how fast FashionFlow is on this machine, compared with a plain version of itself and with the machine's best possible speed.

python -m benchmarks
"""
