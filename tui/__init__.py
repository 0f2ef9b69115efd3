"""The doors: headless verbs and screens."""
