"""The page's endpoints for programs: jobs by number, files in and out, plain values in place of components.

May import what `page` may. What a visitor sees belongs to the modules of `page` itself.
"""
