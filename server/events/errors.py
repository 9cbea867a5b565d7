"""What goes wrong with events and only a person can put right."""


class EventsError(Exception):
    """A target cannot be ours, or what it lacks is not in the log any more. The message starts with the setting."""
