"""Starts, watches and stops the site's processes: embedded services, web server, workers and beat."""
