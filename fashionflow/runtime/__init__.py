"""How the models run on this device: loading them, number formats and threads, CUDA graphs, and what to do when memory runs out.

May import `models`, `photo`, `pipelines` and `video`. Nothing here changes what a clip shows; that belongs to `models` and `pipelines`.
"""
