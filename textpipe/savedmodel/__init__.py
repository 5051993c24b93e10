"""What an exported model is: its files, its signatures, and how it is loaded and published."""
