"""How good clips are: `python -m fashionflow.evaluation.sample` makes some of a model, `python -m fashionflow.evaluation` judges them.

Nothing is imported here, because training imports `fashionflow.evaluation.lpips` and the rest imports training.
"""
