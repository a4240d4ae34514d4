"""One photo before it is animated: reading and cropping it, finding the figure, its outline, head and prints, its background, and advice.

Imports no other room. Pictures are NumPy arrays or PIL images; the result of the geometry network is passed in as coverage. Networks
belong to `models`, movement to `pipelines`.
"""
