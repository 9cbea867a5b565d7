"""The web console: static files of this package, and the headers under which a browser runs them."""

from backoffice.console.serving import CONSOLE_POLICY, DOCUMENTATION_POLICY, console_routes

__all__ = ["CONSOLE_POLICY", "DOCUMENTATION_POLICY", "console_routes"]
