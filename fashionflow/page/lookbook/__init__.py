"""Lookbooks, many clips as one job: the plan of photos and motions, the panel, the choice of one clip, and the contact sheet to download.

May import the same rooms as `page`. Single clips belong to `page.run`.
"""
