"""One photo before anything moves: reading it, cropping it, finding the figure, its outline, head and prints, its background, advice about it.

Imports no other room; pictures are NumPy arrays or PIL images, and what the geometry network sees is handed in as coverage. Networks belong to
`models`, movement to `pipelines`.
"""
