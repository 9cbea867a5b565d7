"""The web console: pages, scripts and styles, served by the office itself."""
