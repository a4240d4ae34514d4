"""How fast FashionFlow is on this machine, beside a plain version of itself and beside what the machine could do at best.

python -m benchmarks
"""
