"""Runs the models on this device: loading, number formats and threads, CUDA graphs, and the fallback when memory runs out.

May import `models`, `photo`, `pipelines` and `video`. Nothing here changes the look of a clip, which belongs to `models` and `pipelines`.
"""
