"""Reading, cleaning, splitting and sharding rows; dataset cards and downloads."""
