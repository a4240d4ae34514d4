"""A catalogue: thousands of photos become clips on several workers, with a manifest that says what came of each, and a page to review them.

`entries.py` reads what is to be made, `making.py` makes one clip and judges it, `workers.py` spreads the work with Ray Data, `manifest.py`
keeps one row a clip, `run.py` puts them together, and `page.py` writes the contact sheet. `store.py` is the only place that knows where
files are. Ray, pyarrow and fsspec are imported only when a catalogue is made.
"""
