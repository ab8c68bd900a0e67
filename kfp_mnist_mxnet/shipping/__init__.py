"""How code travels: from a function to the command of a step."""
