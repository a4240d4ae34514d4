"""The history of the clips that a visitor has made, kept in their own browser: the gallery and its entries.

May import the same rooms as `page`. Nothing here keeps a visitor's data on the server.
"""
