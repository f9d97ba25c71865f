"""The service and its page: the exported indices searched over HTTP; the only user of FastAPI."""
