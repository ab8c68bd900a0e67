"""Files and stores: URIs, directories, S3, and artifacts that appear whole or not at all."""
