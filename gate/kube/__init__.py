"""The Kubernetes API, asked with raw paths."""
