"""Images as people have them, in folders, arrays or CSV files, to the four IDX files of a data set.

`convert` is the whole of it; folder.py, arrays.py and table.py each read one kind of source.
"""
