"""The clips that a visitor has made, kept in their own browser: the gallery, and the entries that it is made of.

May import what `page` may. Nothing of a visitor's is kept on the server here.
"""
