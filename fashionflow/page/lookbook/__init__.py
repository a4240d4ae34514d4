"""Many clips at once: the plan of photos and motions, the panel, picking one, and the contact sheet to download.

May import what `page` may. One clip at a time belongs to `page.run`.
"""
