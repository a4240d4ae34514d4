"""Frames and files: decoding of latents, interpolation between keyframes, previews, reading and writing, metadata of files, exports.

May import `models`, `photo` and `pipelines`. Denoising belongs to `pipelines`, the scheduling of jobs to `generation`.
"""
