"""Turns a request into a finished file: requests and their events, jobs, the job queue, the renderer of one clip, and time estimates.

May import `models`, `photo`, `pipelines`, `video` and `runtime`. The user interface belongs to `page`, the look of a clip to `pipelines`.
"""
