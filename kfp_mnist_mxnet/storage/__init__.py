"""Files and stores: URIs, directories, S3, and artifacts that are written atomically.

Used from outside: staged (staging.py), open_store (store.py), upload_directory (upload.py), Address
(address.py).
"""
