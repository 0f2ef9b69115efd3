"""What a person corrects: the page that shows a label box."""
