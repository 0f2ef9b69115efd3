"""What is true on disk: volumes, labels, maps, models and the rows about them. No torch in here."""
