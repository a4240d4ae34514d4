"""The page's endpoints for programs: they find jobs by number, exchange files, and take plain values instead of components.

May import the same rooms as `page`. What a visitor sees belongs to the modules of `page` itself.
"""
