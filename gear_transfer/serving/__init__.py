"""A classifier in production: batches of requests, an HTTP service, a scoring script."""
