"""Runs the models on this device: loading, number formats and threads, CUDA graphs, the fallback when memory runs out, and a clean end.

May import `models`, `photo`, `pipelines` and `video`. Nothing here changes the look of a clip, which belongs to `models` and `pipelines`.
"""
