"""Async bulk-messaging client for the Mobiz API."""
