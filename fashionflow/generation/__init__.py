"""From a request to a finished file: requests and the events that answer them, jobs and their queue, one clip's renderer, time estimates.

May import `models`, `photo`, `pipelines`, `video` and `runtime`. What a visitor sees belongs to `page`, what a clip looks like to `pipelines`.
"""
